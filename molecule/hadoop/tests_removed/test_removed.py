# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left on the hosts after the stack was removed with its data: nothing of ours."""

from __future__ import annotations

import pytest
from testinfra.host import Host


@pytest.mark.parametrize(
    "path",
    [
        "/etc/hadoop",
        "/etc/labctl",
        "/opt/hadoop",
        "/opt/labctl",
        "/usr/local/bin/hdfs",
        "/usr/local/lib/hadoop",
        "/var/lib/hdfs",
        "/var/lib/yarn",
        "/var/log/yarn",
        "/var/lib/labctl/manifest.d",
    ],
)
def test_no_file_is_left(host: Host, path: str) -> None:
    assert not host.file(path).exists


def test_no_unit_user_process_or_rule_is_left(host: Host) -> None:
    assert (
        host.check_output("systemctl list-unit-files --no-legend 'hdfs-*' 'yarn-*' 'mapred-*' 'labctl-*' | cat") == ""
    )
    assert host.run("getent passwd hdfs yarn mapred").stdout == ""
    assert host.run("getent group hadoop").stdout == ""
    assert host.run("pgrep -x java").rc == 1
    assert host.check_output("nft list tables") == ""
    assert host.run("ls /etc/sysusers.d /etc/tmpfiles.d /etc/sysctl.d /etc/modules-load.d | grep labctl").stdout == ""


def test_what_was_there_before_stays(host: Host) -> None:
    assert host.package("default-jre-headless").is_installed
    assert host.check_output("systemctl --failed --no-legend --plain") == ""
