# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What system writes for systemd's tools, and what it does with packages that are shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.accounts import sysusers_text
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError
from ansible_collections.labctl.stacks.plugins.module_utils.folders import tmpfiles_text
from ansible_collections.labctl.stacks.plugins.module_utils.kernel import sysctl_path
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import Manifest
from ansible_collections.labctl.stacks.plugins.module_utils.packages import Apt, Packages, distribution

USER = {"name": "hdfs", "group": "hadoop", "groups": ["b", "a"], "home": None, "shell": None, "comment": "100% hdfs"}


def test_sysusers_lines_escape_specifiers_and_are_in_order() -> None:
    assert sysusers_text("# x", ["hadoop"], [USER]).splitlines() == [
        "# x",
        "g hadoop -",
        'u hdfs -:hadoop "100%% hdfs" - -',
        "m hdfs a",
        "m hdfs b",
    ]
    assert sysusers_text("# x", [], []) == ""


def test_tmpfiles_lines_are_sorted_so_that_parents_come_first() -> None:
    folder = {"owner": "hdfs", "group": "hadoop", "mode": "0750"}
    text = tmpfiles_text("# x", [{"path": "/a/b%c", **folder}, {"path": "/a", **folder}])
    assert text.splitlines() == ["# x", "d /a 0750 hdfs hadoop -", "d /a/b%%c 0750 hdfs hadoop -"]


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("vm.swappiness", "vm/swappiness"),
        ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
    ],
)
def test_a_sysctls_first_separator_says_what_separates(key: str, path: str) -> None:
    assert sysctl_path(key) == Path("/proc/sys") / path


def test_ubuntu_is_known_by_its_ancestor() -> None:
    name, ids = distribution('NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n')
    assert name == "Linux Mint"
    assert "debian" in ids


class FakeApt(Apt):
    """dpkg's database as a dictionary; ``needs`` are dependencies."""

    def __init__(self, installed: dict[str, str], needs: dict[str, list[str]]) -> None:
        self.database = installed
        self.needs = needs
        self.automatic: set[str] = set()

    def check_distribution(self) -> None:
        pass

    def installed(self, names: list[str]) -> dict[str, str]:
        return {name: version for name, version in self.database.items() if not names or name in names}

    def older(self, version: str, than: str) -> bool:
        return int(version) < int(than)

    def install(self, wanted: list[str]) -> None:
        for word in wanted:
            name, _, version = word.partition("=")
            if name.startswith("virtual"):
                continue
            self.database[name] = version or "2"
            for other in self.needs.get(name, []):
                if other not in self.database:
                    self.database[other] = "1"
                    self.automatic.add(other)

    def would_remove(self, verb: str, names: list[str]) -> set[str]:
        if verb == "autoremove":
            needed = {other for name in self.database for other in self.needs.get(name, [])}
            return {name for name in self.automatic & set(self.database) if name not in needed}
        going = set(names)
        while more := {name for name in self.database if set(self.needs.get(name, [])) & going} - going:
            going |= more
        return going

    def purge(self, names: list[str]) -> None:
        for name in names:
            del self.database[name]


def run(root: Path, role: str, apt: FakeApt, *names: str) -> Any:
    call = Call(Manifest.load(role, root), "system/main", {}, check=False)
    packages = Packages(call, list(names), apt)
    changes = packages.plan()
    call.record({"packages": packages.intent()})
    packages.install()
    warnings = packages.remove()
    call.record({"packages": packages.records()})
    return changes, warnings


def test_a_shared_runtime_goes_with_its_last_role_and_takes_what_it_pulled_in(tmp_path: Path) -> None:
    apt = FakeApt({"coreutils": "9"}, {"jre": ["fonts"]})
    run(tmp_path, "hdfs", apt, "jre", "coreutils")
    assert run(tmp_path, "hdfs", apt, "jre", "coreutils")[0] == []
    run(tmp_path, "yarn", apt, "jre")
    run(tmp_path, "hdfs", apt)
    assert set(apt.database) == {"coreutils", "jre", "fonts"}
    run(tmp_path, "yarn", apt)
    assert set(apt.database) == {"coreutils"}


def test_a_package_that_something_foreign_needs_stays(tmp_path: Path) -> None:
    apt = FakeApt({}, {"tool": ["jre"]})
    run(tmp_path, "hdfs", apt, "jre")
    apt.database["tool"] = "1"
    _, warnings = run(tmp_path, "hdfs", apt)
    assert set(apt.database) == {"jre", "tool"}
    assert warnings == ["package jre stays, as tool need it"]


def test_a_downgrade_is_undone_and_an_upgrade_is_recorded(tmp_path: Path) -> None:
    apt = FakeApt({}, {})
    run(tmp_path, "hdfs", apt, "jre")
    apt.database["jre"] = "1"
    assert [str(change) for change in run(tmp_path, "hdfs", apt, "jre")[0]] == ["package jre: 1 -> 2"]
    apt.database["jre"] = "3"
    assert run(tmp_path, "hdfs", apt, "jre")[0] == []
    apt.database["jre"] = "2"
    assert [str(change) for change in run(tmp_path, "hdfs", apt, "jre")[0]] == ["package jre: 2 -> 3"]


def test_a_virtual_package_is_an_error_and_not_a_change_for_ever(tmp_path: Path) -> None:
    with pytest.raises(ConvergeError, match="still not installed"):
        run(tmp_path, "hdfs", FakeApt({}, {}), "virtual-jre")


@pytest.mark.parametrize("name", ["jre=1", "-o Dir=/", "JRE", "a b"])
def test_a_packages_name_is_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not a package's name"):
        run(tmp_path, "hdfs", FakeApt({}, {}), name)
