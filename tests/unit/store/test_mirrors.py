# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's own mirrors: asked first, never trusted."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store import mirrors as module
from ansible_collections.labctl.stacks.plugins.module_utils.store.mirrors import Server, mirrors
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.files import File, FilesSource
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store
from unit.store.doubles import QUICK, RELEASE, WHERE, Mirror, Registry, archive, artifact, maven, sends

TOOL = b"#!/bin/sh\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("LABCTL_MIRRORS", str(folder))
    return folder


def pinned(url: str = "https://127.0.0.1:1/tool") -> FilesSource:
    return FilesSource(
        WHERE, (File((url,), f"sha256:{hashlib.sha256(TOOL).hexdigest()}", "bin/tool", True, len(TOOL)),)
    )


def put(site: Path, content: bytes, under: bytes | None = None) -> None:
    sha256 = hashlib.sha256(under or content).hexdigest()
    path = site / "blobs/sha256" / sha256[:2] / sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_pinned_files_come_from_a_mirror_and_no_server_is_asked(store: Store, site: Path, mirror: Mirror) -> None:
    put(site, TOOL)
    found = store.resolve(artifact(pinned(mirror.url("/tool", sends(TOOL)))))
    assert (found.source, found.origin, found.notes) == ("mirror", "files", ())
    assert mirror.requests == []


def test_another_machines_store_is_a_mirror(
    store: Store, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = artifact(maven(tmp_path, registry.put("one", b"1"), registry.put("two", b"2")))
    first = store.resolve(wanted)
    monkeypatch.setenv("LABCTL_MIRRORS", str(store.root))
    second = Store(tmp_path / "second" / "store").resolve(wanted)
    assert (second.source, second.digest) == ("mirror", first.digest)
    assert len(registry.asked) == 1


def test_mirror_that_lies_is_named_and_the_source_is_tried(store: Store, site: Path, mirror: Mirror) -> None:
    put(site, b"evil bytes", under=TOOL)
    found = store.resolve(artifact(pinned(mirror.url("/tool", sends(TOOL)))))
    assert found.source == "files"
    assert f"mirror {site}: lacks 1 of 1 files, such as bin/tool" in found.notes[0]
    assert (found.path / "bin/tool").read_bytes() == TOOL


def test_what_the_mirror_lacks_is_all_that_is_fetched(
    store: Store, site: Path, registry: Registry, tmp_path: Path
) -> None:
    jars = registry.put("one", b"1"), registry.put("two", b"2")
    put(site, b"1")
    assert store.resolve(artifact(maven(tmp_path, *jars))).source == "maven"
    assert registry.asked == ["two"]


def test_release_archive_comes_from_a_mirror_by_its_name(store: Store, site: Path, mirror: Mirror) -> None:
    (site / "thing.tgz").write_bytes(RELEASE)
    found = store.resolve(artifact(archive(mirror.url("/download/thing.tgz", sends(RELEASE)))))
    assert found.source == "archive"
    assert mirror.requests == []


def test_unpinned_archive_never_comes_from_a_mirror(store: Store, site: Path, mirror: Mirror) -> None:
    (site / "thing.tgz").write_bytes(b"evil")
    accepting = Store(store.root, rules=QUICK, accept_unpinned=True)
    found = accepting.resolve(artifact(archive(mirror.url("/thing.tgz", sends(RELEASE)), digest="unpinned")))
    assert mirror.requests == ["/thing.tgz"]
    assert f"pin it with digest: sha256:{hashlib.sha256(RELEASE).hexdigest()}" in found.notes[0]


def test_server_is_a_mirror(store: Store, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = hashlib.sha256(TOOL).hexdigest()
    mirror.url(f"/site/blobs/sha256/{sha256[:2]}/{sha256}", sends(TOOL))
    monkeypatch.setattr(module, "_mirror", Server)
    monkeypatch.setenv("LABCTL_MIRRORS", f"{mirror.base}/site/")
    assert store.resolve(artifact(pinned())).source == "mirror"


def test_missing_everywhere_names_every_place_with_its_reason(
    store: Store, site: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABCTL_MIRRORS", f"{site},{site}-two")
    with pytest.raises(PreflightError) as failure:
        store.resolve(artifact(pinned(f"{mirror.base}/tool")))
    places = {finding.where: finding.what for finding in failure.value.findings}
    assert list(places) == [f"mirror {site}", f"mirror {site}-two", "files"]
    assert "No such file" in places[f"mirror {site}-two"]
    assert f"{site}/tool: No such file" in places["files"]
    assert f"{mirror.base}/tool: the server answered 404" in places["files"]


@pytest.mark.parametrize("place", ["http://example.org", "ftp://example.org", "relative/folder"])
def test_place_that_cannot_be_a_mirror_is_refused(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABCTL_MIRRORS", place)
    with pytest.raises(InputError, match=f"LABCTL_MIRRORS: .*{place}"):
        mirrors()
