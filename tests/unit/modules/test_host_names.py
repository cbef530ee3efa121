# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of hosts in a file that stands for /etc/hosts: a block for each section, and nobody else's lines touched."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError
from ansible_collections.labctl.stacks.plugins.module_utils.fileops import Staged
from ansible_collections.labctl.stacks.plugins.module_utils.host_names import HostNames
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import Manifest

#: A host's own lines in all their forms, and a block of the provider's.
OWN = "127.0.0.1\tlocalhost\n\n10.0.0.9  Printer print # by hand\n# labctl: begin\n10.0.0.2\thead\n# labctl: end\n"
BLOCK = "# labctl: begin haproxy/main\n127.0.0.1\tapi\n10.0.0.5\tzoo\n# labctl: end haproxy/main\n"
NAMES = {"zoo": "10.0.0.5", "api": "127.0.0.1"}


class Box:
    """A host with one file of names."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "hosts"
        self.file.write_text(OWN)
        self.root = folder / "state"

    def names(self, names: dict[str, Any], role: str = "haproxy") -> HostNames:
        call = Call(Manifest.load(role, self.root), "system/main", {}, check=False)
        return HostNames(call, names, str(self.file))

    def converge(self, names: dict[str, Any], role: str = "haproxy") -> list[str]:
        """Changes; made, recorded, and the same as a look beforehand says."""
        one = self.names(names, role)
        changes = [str(change) for change in one.plan()]
        assert bool(changes) == bool(one.diff())
        one.call.record({"host_names": one.intent()})
        one.apply()
        one.call.record({"host_names": one.records()})
        return changes


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_a_block_is_added_kept_changed_and_taken_away(box: Box) -> None:
    box.file.chmod(0o640)
    assert box.converge(NAMES) == ["host name api: absent -> 127.0.0.1", "host name zoo: absent -> 10.0.0.5"]
    assert box.file.read_text() == OWN + BLOCK
    assert box.file.stat().st_mode & 0o777 == 0o640
    inode = box.file.stat().st_ino
    assert box.converge(NAMES) == []
    assert box.file.stat().st_ino == inode, "a file that is right is not written"
    assert box.converge({"api": "10.0.0.3"}) == [
        "host name api: 127.0.0.1 -> 10.0.0.3",
        "host name zoo: 10.0.0.5 -> removed",
    ]
    assert box.converge({}) == ["host name api: 10.0.0.3 -> removed"]
    assert box.file.read_text() == OWN
    assert Manifest.load("haproxy", box.root).sha256 == ""


def test_each_role_has_its_block(box: Box) -> None:
    box.converge(NAMES)
    box.converge({"api": "127.0.0.1"}, "k8s_node")
    box.file.write_text(box.file.read_text() + "10.0.0.8\tlate\n")
    box.converge({})
    text = box.file.read_text()
    assert text == f"{OWN}# labctl: begin k8s_node/main\n127.0.0.1\tapi\n# labctl: end k8s_node/main\n10.0.0.8\tlate\n"


def test_the_diff_shows_the_file(box: Box) -> None:
    names = box.names(NAMES)
    names.plan()
    header = {"before_header": str(box.file), "after_header": str(box.file)}
    assert names.diff() == [{**header, "before": OWN, "after": OWN + BLOCK}]


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (("127.0.0.1\tapi\n", ""), ["host name api: absent -> 127.0.0.1"]),
        (("127.0.0.1\tapi", "127.0.0.2\tapi"), ["host name api: 127.0.0.2 -> 127.0.0.1"]),
        (("10.0.0.5\tzoo", "10.0.0.5\tzoo more"), ["host name more: 10.0.0.5 -> removed"]),
        (("10.0.0.5\tzoo", "10.0.0.5  zoo # x"), ["FILE: lines of ours in another form -> as declared"]),
        (("# labctl: end haproxy/main\n", ""), ["FILE: lines of ours in another form -> as declared"]),
        ((BLOCK, ""), ["host name api: absent -> 127.0.0.1", "host name zoo: absent -> 10.0.0.5"]),
    ],
)
def test_what_was_done_to_the_block_is_undone(box: Box, harm: tuple[str, str], told: list[str]) -> None:
    box.converge(NAMES)
    text = box.file.read_text()
    assert harm[0] in text
    box.file.write_text(text.replace(*harm))
    assert box.converge(NAMES) == [line.replace("FILE", str(box.file)) for line in told]
    assert box.file.read_text() == text


def test_a_block_without_its_end_takes_no_line_of_the_hosts_along(box: Box) -> None:
    box.converge(NAMES)
    box.file.write_text(box.file.read_text().replace("# labctl: end haproxy/main\n", "10.0.0.8\tlate\n"))
    box.converge({})
    assert box.file.read_text() == OWN + "10.0.0.8\tlate\n"


def test_bytes_and_an_end_without_a_newline_are_the_hosts_own(box: Box) -> None:
    box.file.write_bytes(b"127.0.0.1 localhost # \xff\x0c\r\n10.0.0.9 printer")
    box.converge(NAMES)
    assert box.file.read_bytes().startswith(b"127.0.0.1 localhost # \xff\x0c\r\n10.0.0.9 printer\n# labctl: begin")
    assert box.converge(NAMES) == []


@pytest.mark.parametrize("name", ["printer", "print", "head"])
def test_a_name_that_means_another_address_already_is_refused(box: Box, name: str) -> None:
    with pytest.raises(ConvergeError, match=f"has {name} with address 10.0.0.[29] already, and 10.0.0.7 is declared"):
        box.converge({name: "10.0.0.7"})
    assert box.file.read_text() == OWN


def test_a_name_that_has_the_address_elsewhere_too_is_fine(box: Box) -> None:
    box.file.write_text("2001:DB8:0::1 six\n")
    assert box.converge({"six": "2001:db8::1"}) == ["host name six: absent -> 2001:db8::1"]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ({"Api": "10.0.0.1"}, "is not a host's name"),
        ({"a b": "10.0.0.1"}, "is not a host's name"),
        ({"-a": "10.0.0.1"}, "is not a host's name"),
        ({"localhost": "10.0.0.1"}, "is not a host's name"),
        ({"api": "10.0.0.256"}, "is not an address"),
        ({"api": "10.0.0.0/8"}, "is not an address"),
        ({"api": ""}, "is not an address"),
    ],
)
def test_what_is_no_name_and_no_address_is_refused(box: Box, names: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        box.converge(names)


def test_a_file_that_is_gone_comes_back_and_a_link_is_not_followed(box: Box, tmp_path: Path) -> None:
    box.converge(NAMES)
    box.file.unlink()
    box.converge(NAMES)
    assert box.file.read_text() == BLOCK
    other = tmp_path / "other"
    box.file.rename(other)
    box.file.symlink_to(other)
    with pytest.raises(ConvergeError, match="is a link on this host"):
        box.converge({})
    assert other.read_text() == BLOCK


def test_a_file_that_is_mounted_from_outside_is_written_in_place(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(self: Staged) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Staged, "commit", busy)
    inode = box.file.stat().st_ino
    box.converge(NAMES)
    assert (box.file.read_text(), box.file.stat().st_ino) == (OWN + BLOCK, inode)
    assert [path.name for path in box.file.parent.iterdir() if path.name.startswith(".labctl")] == []
