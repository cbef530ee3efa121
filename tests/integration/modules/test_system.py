# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""system on a real host: accounts, directories, kernel settings, and packages of a small archive made on the spot."""

from __future__ import annotations

import pytest
from integration.one_host import OneHost

pytestmark = pytest.mark.root

LIFE = r"""
- name: before labctl
  ansible.builtin.shell: |
    mkdir -m 0711 /srv/lbt-old; sysctl -w net.ipv4.tcp_keepalive_time=7100; groupadd --system lbt-oldgroup
    echo 192.0.2.9 lbt-printer >> /etc/hosts; cp -p /etc/hosts /var/tmp/lbt-hosts
- name: predicted
  check_mode: true
  labctl.stacks.system: &declared
    role: lbt
    groups: [lbt-group, lbt-oldgroup]
    users:
      - name: lbt
        group: lbt-group
        groups: [lbt-more, adm]
        home: /var/lib/lbt
        shell: /bin/bash
        comment: The 100% lbt
      - {name: lbt-plain}
    directories:
      - {path: /var/lib/lbt, owner: lbt, group: lbt-group, mode: "0750"}
      - {path: /var/lib/lbt/data, owner: lbt, group: lbt-group, mode: "0700", data: true}
      - {path: /var/log/lbt/deep/er, owner: lbt, group: lbt-group}
      - {path: /srv/lbt-old, owner: lbt, mode: "01755"}
    sysctls: {net.ipv4.tcp_keepalive_time: 600, net.ipv4.ip_local_port_range: 32000 61000}
    host_names: {lbt-api: 127.0.0.1, lbt-six: "2001:DB8::1"}
- name: first
  diff: true
  labctl.stacks.system: *declared
- name: manifest after first
  ansible.builtin.slurp: {path: /var/lib/labctl/manifest.d/lbt.json}
- name: second
  labctl.stacks.system: *declared
- name: manifest after second
  ansible.builtin.slurp: {path: /var/lib/labctl/manifest.d/lbt.json}
- name: state
  ansible.builtin.shell: |
    id lbt | sed 's/[0-9]*(//g; s/)//g'; getent passwd lbt | cut -d: -f5-; getent passwd lbt-plain | cut -d: -f6-
    stat -c '%n %U:%G %a' /var/lib/lbt /var/lib/lbt/data /var/log/lbt /var/log/lbt/deep/er /srv/lbt-old
    cat /proc/sys/net/ipv4/tcp_keepalive_time; ls /etc/*.d/labctl-lbt-main.conf
    getent hosts lbt-api lbt-six lbt-printer | cut -d' ' -f1
- name: another role has the name
  labctl.stacks.system: {role: lbt2, host_names: {lbt-api: 127.0.0.1}}
- name: another address
  ignore_errors: true
  labctl.stacks.system: {role: lbt3, host_names: {lbt-api: 127.0.0.2}}
- name: another role gone
  labctl.stacks.system: {role: lbt2, state: absent}
- name: drift
  ansible.builtin.shell: |
    usermod --shell /bin/false --home /tmp lbt; gpasswd --delete lbt lbt-more; userdel lbt-plain
    chmod 0777 /var/lib/lbt; chown root /srv/lbt-old; rm -r /var/log/lbt; sysctl -w net.ipv4.tcp_keepalive_time=1
    sed -i 's/.*lbt-api/192.0.2.1 lbt-api/; /lbt-six/d' /etc/hosts
    rm /etc/sysctl.d/labctl-lbt-main.conf; echo hello > /var/lib/lbt/data/file
- name: drift predicted
  check_mode: true
  labctl.stacks.system: *declared
- name: drift repaired
  labctl.stacks.system: *declared
- name: quiet
  labctl.stacks.system: *declared
- name: a process
  ansible.builtin.shell: systemd-run --unit=lbt-process --property=User=lbt-plain sleep infinity
- name: in use
  ignore_errors: true
  labctl.stacks.system: {role: lbt, state: absent}
- name: no process
  ansible.builtin.shell: systemctl stop lbt-process
- name: removal predicted
  check_mode: true
  labctl.stacks.system: {role: lbt, state: absent}
- name: removed
  labctl.stacks.system: {role: lbt, state: absent}
- name: removed again
  labctl.stacks.system: {role: lbt, state: absent}
- name: left
  ansible.builtin.shell: |
    cat /var/lib/lbt/data/file; stat -c '%U:%G %a' /var/lib/lbt/data /srv/lbt-old; ls -d /etc/*.d/labctl* /var/log/lbt
    getent passwd lbt-plain; getent group lbt-more; getent group lbt-oldgroup | cut -d: -f1
    cat /proc/sys/net/ipv4/tcp_keepalive_time; cmp /etc/hosts /var/tmp/lbt-hosts
- name: purged
  labctl.stacks.system: {role: lbt, state: absent, purge_data: true}
- name: nothing left
  ansible.builtin.shell: |
    getent passwd lbt; getent group lbt lbt-group; ls -d /var/lib/lbt /var/lib/labctl/manifest*
    rmdir /srv/lbt-old; groupdel lbt-oldgroup; sed -i /lbt-printer/d /etc/hosts; rm /var/tmp/lbt-hosts
"""


def test_life(host: OneHost) -> None:
    run = host.run_playbook(LIFE)
    assert run.rc == 0, run.stdout
    assert run["predicted"]["changes"] == run["first"]["changes"]
    assert "user lbt: absent" in run["first"]["diff"][0]["before"]
    assert not run["second"]["changed"]
    assert run["manifest after first"]["content"] == run["manifest after second"]["content"]
    assert run["state"]["stdout"].splitlines() == [
        "uid=lbt gid=lbt-group groups=lbt-group,adm,lbt-more",
        "The 100% lbt:/var/lib/lbt:/bin/bash",
        "/:/usr/sbin/nologin",
        "/var/lib/lbt lbt:lbt-group 750",
        "/var/lib/lbt/data lbt:lbt-group 700",
        "/var/log/lbt root:root 755",
        "/var/log/lbt/deep/er lbt:lbt-group 755",
        "/srv/lbt-old lbt:root 1755",
        "600",
        "/etc/sysctl.d/labctl-lbt-main.conf",
        "/etc/sysusers.d/labctl-lbt-main.conf",
        "/etc/tmpfiles.d/labctl-lbt-main.conf",
        "127.0.0.1",
        "2001:db8::1",
        "192.0.2.9",
    ]
    assert run["another role has the name"]["changes"] == ["host name lbt-api: absent -> 127.0.0.1"]
    assert "has lbt-api with address 127.0.0.1 already, and 127.0.0.2 is declared" in run["another address"]["msg"]
    assert run["drift predicted"]["changes"] == run["drift repaired"]["changes"]
    assert run["drift repaired"]["changes"] == [
        "group lbt-plain: absent -> present",
        "user lbt, home: /tmp -> /var/lib/lbt",
        "user lbt, shell: /bin/false -> /bin/bash",
        "user lbt, further groups: adm -> +lbt-more",
        "user lbt-plain: absent -> present",
        "sysctl net.ipv4.tcp_keepalive_time: 1 -> 600",
        "host name lbt-api: 192.0.2.1 -> 127.0.0.1",
        "host name lbt-six: absent -> 2001:db8::1",
        "/srv/lbt-old: root:root 1755 -> lbt:root 1755",
        "/var/lib/lbt: lbt:lbt-group 0777 -> lbt:lbt-group 0750",
        "/var/log/lbt: absent -> directory",
        "/var/log/lbt/deep: absent -> directory",
        "/var/log/lbt/deep/er: absent -> lbt:lbt-group 0755",
        "/etc/sysctl.d/labctl-lbt-main.conf: absent -> root:root 0644, new content",
    ]
    assert not run["quiet"]["changed"]
    assert run.failed == ["another address", "in use"]
    assert "user lbt-plain cannot be removed" in run["in use"]["msg"]
    assert run["removal predicted"]["kept"] == run["removed"]["kept"] == ["/var/lib/lbt/data"]
    assert not run["removed again"]["changed"]
    assert run["left"]["stdout"].splitlines() == [
        "hello",
        "lbt:lbt-group 700",
        "root:root 711",
        "lbt-oldgroup",
        "7100",
    ]
    assert run["nothing left"]["stdout"] == ""


ARCHIVE = r"""
- name: archive
  ansible.builtin.shell: |
    set -e
    mkdir -p /srv/lbt-archive; cd /srv/lbt-archive
    build() {
      mkdir -p b/DEBIAN b/etc; echo conf > b/etc/$1.conf; echo /etc/$1.conf > b/DEBIAN/conffiles
      printf '%s\n' "Package: $1" "Version: $2" ${3:+"Depends: $3"} 'Architecture: all' 'Description: x' \
        'Maintainer: x <x@example.org>' > b/DEBIAN/control
      dpkg-deb --build b $1_$2.deb >/dev/null; rm -r b
    }
    build lbt-lib 1; build lbt-tool 1 lbt-lib; build lbt-tool 2 lbt-lib; build lbt-other 1; build lbt-needy 1 lbt-other
    for deb in *.deb; do
      dpkg-deb -f $deb; stat -c 'Filename: ./%n' $deb; stat -c 'Size: %s' $deb
      echo "SHA256: $(sha256sum $deb | cut -c1-64)"; echo
    done > Packages
    mv /etc/apt/sources.list /etc/apt/sources.list.aside
    echo 'deb [trusted=yes] file:/srv/lbt-archive ./' > /etc/apt/sources.list
"""
PACKAGES = r"""
- name: predicted
  check_mode: true
  labctl.stacks.system: &one {role: lbt, packages: [lbt-tool, lbt-other, coreutils]}
- name: first
  labctl.stacks.system: *one
- name: second
  labctl.stacks.system: *one
- name: another role
  labctl.stacks.system: {role: lbt2, packages: [lbt-tool]}
- name: by hand
  ansible.builtin.shell: |
    apt-get install -y lbt-needy; dpkg --remove --force-depends lbt-tool
    apt-get install -y --allow-downgrades lbt-tool=1
- name: downgrade repaired
  labctl.stacks.system: *one
- name: after repair
  labctl.stacks.system: *one
- name: version
  ansible.builtin.command: dpkg-query -W -f ${Version} lbt-tool
- name: unknown
  ignore_errors: true
  labctl.stacks.system: {role: lbt3, packages: [lbt-there-is-none]}
- name: first role gone
  labctl.stacks.system: {role: lbt, state: absent}
- name: still
  ansible.builtin.shell: dpkg-query -W lbt-tool lbt-lib lbt-other coreutils | cut -f1
- name: second role gone
  labctl.stacks.system: {role: lbt2, state: absent}
- name: third role gone
  labctl.stacks.system: {role: lbt3, state: absent}
- name: left
  ansible.builtin.shell: |
    dpkg-query -W 'lbt-*' coreutils | cut -f1; ls /etc/lbt-tool.conf /etc/lbt-lib.conf
    apt-get purge -y lbt-needy lbt-other >/dev/null; mv /etc/apt/sources.list.aside /etc/apt/sources.list
    rm -rf /srv/lbt-archive /var/lib/apt/lists/*
- name: elsewhere
  ansible.builtin.shell: |
    mv /etc/os-release /etc/os-release.aside
    printf 'ID=fedora\nPRETTY_NAME="Fedora Linux 43"\n' > /etc/os-release
- name: refused elsewhere
  ignore_errors: true
  labctl.stacks.system: *one
- name: back
  ansible.builtin.shell: mv /etc/os-release.aside /etc/os-release
"""


def test_packages(host: OneHost) -> None:
    run = host.run_playbook(ARCHIVE + PACKAGES)
    assert run.rc == 0, run.stdout
    assert run["predicted"]["changes"] == run["first"]["changes"]
    assert run["first"]["packages_installed"] == ["lbt-other", "lbt-tool"]
    assert not run["second"]["changed"]
    assert not run["another role"]["changed"]
    assert run["downgrade repaired"]["changes"] == ["package lbt-tool: 1 -> 2"]
    assert not run["after repair"]["changed"]
    assert run["version"]["stdout"] == "2"
    assert run.failed == ["unknown", "refused elsewhere"]
    assert "lbt-there-is-none" in run["unknown"]["msg"]
    assert run["still"]["stdout"].split() == ["coreutils", "lbt-lib", "lbt-other", "lbt-tool"]
    assert any("lbt-other stays, as lbt-needy need it" in words for words in run["first role gone"]["warnings"])
    assert run["second role gone"]["packages_removed"] == ["lbt-tool"]
    assert run["left"]["stdout"].split() == ["coreutils", "lbt-needy", "lbt-other"], "lbt-lib went with lbt-tool"
    assert "this host runs Fedora Linux 43" in run["refused elsewhere"]["msg"]
