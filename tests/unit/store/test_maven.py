# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jars by mvn, checked against the lock, with a double of mvn on PATH."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store import maven as mvn
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import Artifact
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources import KINDS
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store
from unit.store.doubles import RELEASE, WHERE, Mirror, Registry, archive, artifact, jar, maven, sends, sha512, zipped


def reason(failure: pytest.ExceptionInfo[PreflightError]) -> str:
    return failure.value.findings[0].what


def test_jars_and_own_files_make_the_tree(store: Store, registry: Registry, tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "webapps").mkdir(parents=True)
    (own / "webapps/index.html").write_text("<html>")
    source = maven(tmp_path, registry.put("one", b"1"), registry.put("examples", b"2"), files=own)
    found = store.resolve(artifact(source))
    assert [entry.path for entry in found.entries] == [
        "examples/examples-1.0.jar",
        "lib/one-1.0.jar",
        "webapps/index.html",
    ]
    assert found.source == "maven"
    assert store.resolve(artifact(source)).source == "store"
    assert len(registry.asked) == 1


def test_jar_that_differs_from_the_lock_is_named_and_the_store_unharmed(
    store: Store, registry: Registry, tmp_path: Path
) -> None:
    good, bad = registry.put("good", b"good"), registry.put("bad", b"bad")
    (registry.folder / "bad-1.0.jar").write_bytes(b"changed")
    source = maven(tmp_path, good, bad)
    with pytest.raises(PreflightError) as failure:
        store.resolve(artifact(source))
    changed = jar("bad", b"changed")
    assert f"org.example:bad:1.0: has sha256 {changed.sha256} instead of {bad.sha256}" in reason(failure)
    assert "good" not in reason(failure)
    blobs = sorted(path.name for path in (store.root / "blobs").rglob("*") if path.is_file())
    assert blobs == [good.sha256]
    registry.put("bad", b"bad")
    store.resolve(artifact(source))
    assert registry.asked == ["good bad", "bad"]


def test_missing_jar_is_named_with_mvns_reason(store: Store, registry: Registry, tmp_path: Path) -> None:
    source = maven(tmp_path, registry.put("one", b"1"), jar("gone", b"2"))
    with pytest.raises(PreflightError) as failure:
        store.resolve(artifact(source))
    assert "Could not find artifact org.example:gone" in reason(failure)
    assert "still missing: org.example:gone:1.0" in reason(failure)
    assert "Help 1" not in reason(failure)


def test_jar_that_nobody_asked_for_is_named(store: Store, registry: Registry, tmp_path: Path) -> None:
    (registry.folder / "extra-9.jar").write_bytes(b"extra")
    with pytest.raises(PreflightError) as failure:
        store.resolve(artifact(maven(tmp_path, registry.put("one", b"1"))))
    assert "extra-9.jar: was not asked for" in reason(failure)


def test_without_mvn_the_next_source_is_used(
    store: Store, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    release = archive(mirror.url("/thing.tgz", sends(RELEASE)))
    found = store.resolve(artifact(maven(tmp_path, jar("one", b"1")), release))
    assert found.source == "archive"
    assert "mvn is not installed (Install Maven: apt install maven.)" in found.notes[0]


def test_mended_from_where_it_came_from(store: Store, registry: Registry, mirror: Mirror, tmp_path: Path) -> None:
    release = archive(mirror.url("/thing.tgz", sends(RELEASE)))
    both = artifact(maven(tmp_path, registry.put("one", b"1")), release)
    first = store.resolve(both, source="archive")
    (first.path / "lib/a.jar").chmod(0o644)
    (first.path / "lib/a.jar").write_bytes(b"evil")
    assert store.resolve(both).digest == first.digest
    assert registry.asked == []


def test_coordinates_cannot_write_xml(tmp_path: Path) -> None:
    text = mvn.pom([replace(jar("one", b"1"), classifier="<x>&")], alone=True)
    assert "<classifier>&lt;x&gt;&amp;</classifier>" in text


ZIP = zipped(("thing-1/bin/tool", b"#!/bin/sh\n", 0o100755), ("thing-1/doc/x", b"not taken", 0o100644))


def single(digest: str) -> Artifact:
    fields = {
        "plugin": "org.example:plugin:1",
        "zip": "org.example:thing:1.0",
        "digest": digest,
        "select": [{"from": "thing-1/bin/**", "to": "bin"}],
    }
    return artifact(KINDS["maven"].parse(fields, WHERE))


def test_zip_by_its_coordinates_is_verified_and_unpacked(store: Store, registry: Registry) -> None:
    (registry.folder / "thing-1.0.zip").write_bytes(ZIP)
    found = store.resolve(single(sha512(ZIP)))
    assert [(entry.path, entry.mode) for entry in found.entries] == [("bin/tool", 0o555)]
    assert store.resolve(single(sha512(ZIP))).source == "store"
    assert registry.asked == ["thing"]


def test_zip_that_is_another_or_unpinned_is_refused(store: Store, registry: Registry) -> None:
    (registry.folder / "thing-1.0.zip").write_bytes(ZIP)
    with pytest.raises(PreflightError) as failure:
        store.resolve(single(sha512(b"another")))
    assert f"org.example:thing:1.0: wrong digest, {sha512(ZIP)} instead of" in reason(failure)
    with pytest.raises(PreflightError) as failure:
        store.resolve(single("unpinned"))
    assert "unpinned" in reason(failure)
    assert registry.asked == ["thing"]
    assert not list((store.root / "trees").iterdir())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"zip": "a:b"}, "maven.zip must be"),
        ({"digest": "md5:1"}, "maven.digest must be"),
        ({"lock": "x"}, "unknown key"),
    ],
)
def test_zip_entry_that_breaks_the_format_is_refused(change: dict[str, str], says: str) -> None:
    fields = {"plugin": "p:p:1", "zip": "a:b:1", "digest": "unpinned", "select": [{"from": "a", "to": "b"}], **change}
    with pytest.raises(InputError, match=says):
        KINDS["maven"].parse(fields, WHERE)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_interrupt_ends_mvn_too(registry: Registry, tmp_path: Path) -> None:
    (registry.folder / "hang").write_text("")
    started = registry.folder / "pid"
    work = tmp_path / "work"
    work.mkdir()

    def interrupt(_: int) -> None:
        if started.exists() and started.read_text():
            raise KeyboardInterrupt

    ticking = threading.Event()

    def grow() -> None:  # progress is told when bytes arrive, so let some arrive
        (work / "repository").mkdir()
        while not ticking.wait(0.05):
            with (work / "repository/x.jar").open("ab") as stream:
                stream.write(b"x")

    feeder = threading.Thread(target=grow)
    feeder.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            mvn.copy_jars(mvn.pom([jar("one", b"1")], alone=True), "p", work, layout=False, progress=interrupt)
    finally:
        ticking.set()
        feeder.join()
    assert not alive(int(started.read_text()))


def test_silent_mvn_is_given_up(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (registry.folder / "hang").write_text("")
    monkeypatch.setattr(mvn, "STALL", 1.0)
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(PreflightError, match="mvn did nothing for 1 s"):
        mvn.copy_jars(mvn.pom([jar("one", b"1")], alone=True), "p", work, layout=False)
    assert not alive(int((registry.folder / "pid").read_text()))


@pytest.mark.skipif(os.geteuid() != 0, reason="sudo's variables count for root only")
def test_under_sudo_the_store_is_the_callers(
    store: Store, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_UID", "65534")
    monkeypatch.setenv("SUDO_USER", "nobody")
    tmp_path.chmod(0o755)
    store.pack(store.resolve(artifact(maven(tmp_path, registry.put("one", b"1")))))
    paths = [store.root, *store.root.rglob("*")]
    assert {path.lstat().st_uid for path in paths} == {65534}
