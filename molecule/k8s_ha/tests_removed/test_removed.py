# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left on the hosts after the stack was removed: nothing of ours."""

from __future__ import annotations

import pytest
from testinfra.host import Host


@pytest.mark.parametrize(
    "path",
    [
        "/etc/cni",
        "/etc/containerd",
        "/etc/crictl.yaml",
        "/etc/kubernetes",
        "/etc/systemd/system/containerd.service",
        "/etc/systemd/system/kubelet.service",
        "/opt/cni-plugins",
        "/opt/container-images",
        "/opt/containerd",
        "/opt/kubernetes",
        "/run/containerd",
        "/run/flannel",
        "/usr/local/bin/kubectl",
        "/var/lib/cni",
        "/var/lib/labctl/manifest.d",
        "/var/log/kubernetes",
        "/var/log/pods",
    ],
)
def test_no_file_is_left(host: Host, path: str) -> None:
    assert not host.file(path).exists


@pytest.mark.parametrize("path", ["/var/lib/kubelet", "/var/lib/etcd"])
def test_what_is_a_file_system_of_the_machines_is_empty(host: Host, path: str) -> None:
    assert host.run(f"ls -A {path}").stdout == ""


def test_no_image_is_left(host: Host) -> None:
    assert int(host.check_output("du -sm /var/lib/containerd | cut -f1")) < 2


def test_no_link_rule_mount_cgroup_or_process_is_left(host: Host) -> None:
    links = host.check_output("ls /sys/class/net").split()
    assert set(links) <= {
        "lo",
        "host0",
        "tunl0",
        "sit0",
        "ip6tnl0",
        "gre0",
        "gretap0",
        "erspan0",
        "ip_vti0",
        "ip6_vti0",
    }
    rules = host.check_output("iptables-save; ip6tables-save")
    assert not [line for line in rules.splitlines() if line.startswith("-A")]
    assert host.run("grep -e kubelet/ -e containerd/ -e netns /proc/mounts").stdout == ""
    assert host.run("find /sys/fs/cgroup -maxdepth 2 -name 'kubepods*'").stdout == ""
    assert host.run("pgrep -l 'kube|etcd|flannel|containerd|coredns|pause|haproxy'").stdout == ""


def test_names_and_settings_are_as_before(host: Host) -> None:
    assert "kubernetes-api" not in host.check_output("cat /etc/hosts")
    assert host.run("ls /etc/sysctl.d /etc/modules-load.d /etc/tmpfiles.d | grep labctl").stdout == ""
    assert host.check_output("systemctl --failed --no-legend --plain") == ""
