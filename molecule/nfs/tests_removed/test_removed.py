# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left on the hosts after the stack was removed with its data: nothing of ours."""

from __future__ import annotations

import pytest
from testinfra.host import Host


@pytest.mark.parametrize(
    "path",
    [
        "/etc/systemd/system/nfs-ganesha.service",
        "/srv/nfs/shared",
        "/srv/nfs/private",
        "/var/lib/ganesha",
        "/var/lib/labctl/manifest.d",
        "/mnt/shared",
    ],
)
def test_no_file_is_left(host: Host, path: str) -> None:
    assert not host.file(path).exists


def test_nothing_runs_and_nothing_of_ours_is_configured(host: Host) -> None:
    assert host.run("pgrep -f ganesha.nfsd").rc == 1
    assert host.check_output("ss -Hltn sport = :2049") == ""
    assert host.run("grep -rl labctl /etc/ganesha /etc/exports.d /etc/nfs.conf.d").stdout == ""
    assert host.run("ls /etc/sysusers.d /etc/tmpfiles.d /etc/sysctl.d /etc/modules-load.d | grep labctl").stdout == ""


def test_what_was_there_before_stays(host: Host) -> None:
    assert host.package("nfs-ganesha").is_installed
    assert host.file("/srv").is_directory
    assert host.check_output("systemctl --failed --no-legend --plain") == ""
