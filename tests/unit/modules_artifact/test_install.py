# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What artifact does on a host, with folders of the test's own in place of /opt/labctl and /var/lib/labctl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Outcome
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import Manifest
from ansible_collections.labctl.stacks.plugins.module_utils.store import install
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import (
    listing_digest,
    read_tree,
    sizes_in,
    tree_digest,
)
from ansible_collections.labctl.stacks.plugins.module_utils.store.unpack import pack_tree


class Host:
    """A host's folders, and trees as the controller has them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self.trees = root / "opt-labctl"
        self.link = root / "opt" / "hadoop"
        self.store = root / "mount"
        self.link.parent.mkdir()
        install.TREES = self.trees

    def made(self, version: str, name: str = "thing", link: Path | str = "", **bring: Any) -> dict[str, Any]:
        """Options for a version, with its tar as it was sent, or ``bring``; its tree is in the mounted store."""
        draft = self.root / f"made-{name}-{version}"
        if not draft.exists():
            (draft / "lib").mkdir(parents=True)
            (draft / "lib" / f"{name}-{version}.jar").write_bytes(version.encode())
            (draft / "lib" / f"{name}-{version}.jar").chmod(0o444)
        entries = read_tree(draft)
        digest = tree_digest(entries)
        (self.store / "trees").mkdir(parents=True, exist_ok=True)
        if not (self.store / "trees" / digest).exists():
            (self.store / "trees" / digest).symlink_to(draft)
        archive = self.root / f"{name}-{version}.tar"
        with archive.open("wb") as stream:
            pack_tree(draft, entries, stream)
        sizes = sizes_in(draft)
        tree = {
            "version": version,
            "source": "store",
            "digest": digest,
            "listing": listing_digest(sizes),
            "files": len(sizes),
            "bytes": sum(sizes.values()),
            "fetch": False,
        }
        sent = {"name": name, "archive": str(archive), "peer": "", "share": None}
        return {
            "artifacts": [{"name": name, "version": version, "path": str(link or self.link), "source": ""}],
            "trees": {name: tree},
            "bring": {**sent, **bring},
            "store": "",
        }

    def both(self, one: str, other: str, **bring: Any) -> dict[str, Any]:
        """Options for a version each of two artefacts in one call."""
        thing, tool = self.made(one), self.made(other, "tool", self.link.with_name("tool"))
        return {
            "artifacts": thing["artifacts"] + tool["artifacts"],
            "trees": {**thing["trees"], **tool["trees"]},
            "bring": {"archive": "", "peer": "", "share": None, **bring} if bring else None,
            "store": "",
        }

    def converge(self, one: str, other: str) -> list[Outcome]:
        """The module called for both as its action does, once more for each that it needs."""
        outcomes = [self.present(self.both(one, other))]
        versions = {"thing": one, "tool": other}
        while needs := outcomes[-1].values.get("needs"):
            archive = self.root / f"{needs[0]}-{versions[needs[0]]}.tar"
            outcomes.append(self.present(self.both(one, other, name=needs[0], archive=str(archive))))
        return outcomes

    def call(self, options: dict[str, Any], *, role: str = "hdfs", check: bool = False) -> Call:
        return Call(Manifest.load(role, self.state), "artifact/main", options, check)

    def present(self, options: dict[str, Any], **where: Any) -> Outcome:
        return install.present(self.call(options, **where))

    def absent(self, **where: Any) -> Outcome:
        return install.absent(self.call({"artifacts": []}, **where))

    def manifest(self, role: str = "hdfs") -> str:
        return Manifest.load(role, self.state).sha256

    @property
    def unpacked(self) -> list[str]:
        return sorted(path.name for path in self.trees.iterdir()) if self.trees.exists() else []


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(install, "TREES", tmp_path)
    return Host(tmp_path)


def test_tree_is_unpacked_and_linked_and_a_second_run_changes_nothing(host: Host) -> None:
    options = host.made("1")
    first = host.present(options)
    assert (host.link / "lib/thing-1.jar").read_text() == "1"
    assert [str(change) for change in first.changes] == [
        f"{host.link.resolve()}: absent -> unpacked",
        f"{host.link}: absent -> {host.link.resolve()}",
    ]
    recorded = host.manifest()
    second = host.present({**options, "bring": None})
    assert (second.changes, host.manifest()) == ([], recorded)


def test_files_are_asked_for_only_when_they_are_needed(host: Host) -> None:
    options = {**host.made("1"), "bring": None}
    assert host.present(options).values == {"needs": ["thing"]}
    assert not host.link.exists()
    assert not host.manifest()


def test_check_mode_says_what_a_run_does_and_does_nothing(host: Host) -> None:
    options = host.made("1")
    said = host.present({**options, "bring": None}, check=True)
    assert (host.unpacked, host.link.is_symlink(), host.manifest()) == ([], False, "")
    assert said.changes == host.present(options).changes
    assert host.absent(check=True).changes == host.absent().changes


def test_check_mode_says_would_fetch_of_what_the_store_lacks(host: Host) -> None:
    options = {**host.made("1"), "bring": None, "store": str(host.root / "empty")}
    options["trees"]["thing"]["fetch"] = True
    assert str(host.present(options, check=True).changes[0]) == "thing 1: not in the store -> would fetch"


def test_mounted_store_is_linked_and_nothing_copied(host: Host) -> None:
    options = {**host.made("1"), "store": str(host.store), "bring": None}
    host.present(options)
    assert host.link.readlink() == host.store / "trees" / options["trees"]["thing"]["digest"]
    assert host.unpacked == []
    assert host.present(options).changes == []


def test_mounted_store_without_the_tree_is_an_error(host: Host) -> None:
    options = {**host.made("1"), "store": str(host.root / "empty"), "bring": None}
    with pytest.raises(PreflightError, match="store mounted on this host should show, is not there"):
        host.present(options)
    (host.root / "made-thing-1/lib/more").write_text("more")
    with pytest.raises(PreflightError, match="2 files, 5 bytes instead of 1 files, 1 bytes"):
        host.present({**options, "store": str(host.store)})


def test_new_version_replaces_the_old_one(host: Host) -> None:
    host.present(host.made("1"))
    host.present(host.made("2"))
    assert (host.link / "lib/thing-2.jar").read_text() == "2"
    assert [name[:8] for name in host.unpacked] == ["thing-2-"]


def test_version_that_another_role_needs_stays(host: Host) -> None:
    host.present(host.made("1"))
    host.present(host.made("1"), role="yarn")
    host.present(host.made("2", link=host.root / "opt/other"))
    assert [name[:8] for name in host.unpacked] == ["thing-1-", "thing-2-"]
    assert host.link.is_symlink()
    host.absent(role="yarn")
    assert [name[:8] for name in host.unpacked] == ["thing-2-"]
    assert not host.link.is_symlink()
    host.absent()
    assert not host.trees.exists()
    assert host.manifest() == host.manifest("yarn") == ""


def test_damaged_tree_is_replaced(host: Host) -> None:
    host.present(host.made("1"))
    (host.link / "lib/evil.jar").write_text("evil")
    outcome = host.present(host.made("1"))
    assert "2 files, 5 bytes instead of 1 files" in str(outcome.changes[0])
    assert [path.name for path in (host.link / "lib").iterdir()] == ["thing-1.jar"]
    assert len(host.unpacked) == 1


def test_bytes_that_changed_on_the_way_are_refused_and_the_old_version_stays(host: Host) -> None:
    host.present(host.made("1"))
    options = host.made("2", archive=host.made("1")["bring"]["archive"])
    with pytest.raises(ConvergeError, match="not what was sent"):
        host.present(options)
    assert (host.link / "lib/thing-1.jar").exists()
    assert [name[:8] for name in host.unpacked] == ["thing-1-"]
    host.absent()
    assert host.unpacked == []
    assert host.manifest() == ""


def test_leftovers_of_a_killed_run_are_cleared(host: Host) -> None:
    (host.trees / ".new-1234/lib").mkdir(parents=True)
    host.present(host.made("1"))
    assert [name[:8] for name in host.unpacked] == ["thing-1-"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_not_a_link_is_never_touched(host: Host, kind: str) -> None:
    if kind == "folder":
        host.link.mkdir()
    else:
        host.link.write_text("precious")
    with pytest.raises(PreflightError, match="not a link of ours"):
        host.present(host.made("1"))
    assert host.link.exists()
    assert host.unpacked == []


def test_link_that_was_there_before_comes_back(host: Host) -> None:
    host.link.symlink_to("/srv/hadoop-2")
    host.present(host.made("1"))
    host.present(host.made("2"))
    host.absent()
    assert str(host.link.readlink()) == "/srv/hadoop-2"


@pytest.mark.parametrize("path", ["relative", "/", "/opt/../etc/x"])
def test_odd_paths_are_refused(host: Host, path: str) -> None:
    with pytest.raises(InputError):
        host.present(host.made("1", link=path))


def test_missing_folder_of_the_link_is_named(host: Host) -> None:
    with pytest.raises(InputError, match="its folder is not there"):
        host.present(host.made("1", link=host.root / "no/where"))


def test_a_tree_of_a_peer_is_put_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path)
    tar = Path(host.made("1")["bring"]["archive"]).read_bytes()
    monkeypatch.setattr(install.share, "fetch", lambda url, path, limit: path.write_bytes(tar))
    outcome = host.present(host.made("1", archive="", peer="http://x/y"))
    assert "needs" not in outcome.values
    assert host.link.resolve().parent == host.trees
    assert [path.name for path in host.trees.iterdir()] == [host.link.resolve().name]


@pytest.mark.parametrize("sent", [b"", b"x" * 2000, None])
def test_what_a_peer_does_not_send_as_it_is_the_controller_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes | None
) -> None:
    host = Host(tmp_path)
    other = Path(host.made("2")["bring"]["archive"]).read_bytes()

    def fetch(url: str, path: Path, limit: int) -> None:
        path.write_bytes(other if sent is None else sent)
        if sent == b"":
            raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(install.share, "fetch", fetch)
    outcome = host.present(host.made("1", archive="", peer="http://x/y"))
    assert outcome.values == {"needs": ["thing"]}
    assert "another host could not hand it on" in outcome.warnings[0]
    assert list(host.trees.iterdir()) == []
    assert host.present(host.made("1")).values["artifacts"]["thing"]["digest"]
    assert host.link.exists()


def test_a_host_that_cannot_share_is_well_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: Any) -> int:
        raise ConvergeError("no systemd-run")

    monkeypatch.setattr(install.share, "start", start)
    host = Host(tmp_path)
    outcome = host.present(host.made("1", share={"address": "10.0.0.1", "token": "x"}))
    assert "shared" not in outcome.values
    assert "no systemd-run" in outcome.warnings[0]
    assert host.link.exists()


def test_several_are_brought_one_by_one_and_linked_together(host: Host) -> None:
    predicted = host.present(host.both("1", "1"), check=True)
    outcomes = host.converge("1", "1")
    assert [outcome.values.get("needs") for outcome in outcomes] == [["thing", "tool"], ["tool"], None]
    assert [change for outcome in outcomes for change in outcome.changes] == predicted.changes
    assert (host.link / "lib/thing-1.jar").exists()
    assert (host.link.with_name("tool") / "lib/tool-1.jar").exists()
    assert {name: one["version"] for name, one in outcomes[-1].values["artifacts"].items()} == {
        "thing": "1",
        "tool": "1",
    }
    recorded = host.manifest()
    (again,) = host.converge("1", "1")
    assert (again.changes, host.manifest()) == ([], recorded)


def test_no_link_changes_before_all_are_there(host: Host) -> None:
    host.converge("1", "1")
    archive = host.made("2")["bring"]["archive"]
    half = host.present(host.both("2", "2", name="thing", archive=archive))
    assert half.values == {"needs": ["tool"]}
    assert [str(change).rpartition(": ")[2] for change in half.changes] == ["absent -> unpacked"]
    assert (host.link / "lib/thing-1.jar").exists()
    assert not Path(archive).exists(), "a host may be brought many"
    # A run that ended here is undone like any other.
    host.absent()
    assert not host.trees.exists()
    assert not host.link.is_symlink()


def test_one_that_is_not_listed_any_more_goes_and_the_other_stays(host: Host) -> None:
    host.converge("1", "1")
    predicted = host.present(host.made("1"), check=True)
    gone = host.present(host.made("1"))
    assert predicted.changes == gone.changes
    assert [str(change).rpartition(" -> ")[2] for change in gone.changes] == ["absent", "absent"]
    assert [name[:8] for name in host.unpacked] == ["thing-1-"]
    assert not host.link.with_name("tool").is_symlink()
    nothing = {"artifacts": [], "trees": {}, "bring": None, "store": ""}
    assert host.present(nothing).changes
    assert (host.trees.exists(), host.manifest()) == (False, "")


def test_a_peer_that_fails_for_one_leaves_it_needed_and_the_other_too(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*_: Any) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(install.share, "fetch", fetch)
    outcome = host.present(host.both("1", "1", name="tool", peer="http://x/y"))
    assert outcome.values == {"needs": ["thing", "tool"]}
    assert not outcome.changes


@pytest.mark.parametrize(("name", "link", "told"), [("thing", "other", "thing"), ("tool", "hadoop", "/opt/hadoop")])
def test_what_is_listed_twice_is_refused(host: Host, name: str, link: str, told: str) -> None:
    options = host.made("1")
    options["artifacts"] += host.made("2", name, host.link.with_name(link))["artifacts"]
    with pytest.raises(InputError, match=f"{told} is listed twice"):
        host.present(options)
