# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single files, each with its own digest."""

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.files import File, FilesSource
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import read_tree
from unit.store.doubles import WHERE, Mirror, artifact, sends, sha512

TOOL, NOTES = b"#!/bin/sh\n", b"notes"
SHA = "a" * 64
FIELDS = {"urls": ["https://example.org/tool"], "digest": f"sha256:{SHA}", "path": "bin/tool"}


def sha256(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def test_files_lie_where_the_catalogue_says(store: Store, mirror: Mirror) -> None:
    files = (
        File((mirror.url("/tool-amd64", sends(TOOL)),), sha512(TOOL), "bin/tool", True),
        File((f"{mirror.base}/gone", mirror.url("/n", sends(NOTES))), sha256(NOTES), "share/notes", False),
    )
    wanted = artifact(FilesSource(WHERE, files))
    found = store.resolve(wanted)
    assert [(entry.path, entry.mode) for entry in read_tree(found.path)] == [
        ("bin/tool", 0o555),
        ("share/notes", 0o444),
    ]
    assert (found.path / "bin/tool").read_bytes() == TOOL
    assert store.resolve(wanted).source == "store"
    assert mirror.requests == ["/tool-amd64", "/gone", "/n"]


def test_with_sizes_the_tree_is_known_before_and_only_what_is_missing_is_fetched(store: Store, mirror: Mirror) -> None:
    files = tuple(
        File((mirror.url(f"/{name}", sends(body)),), sha256(body), name, False, len(body))
        for name, body in (("a", TOOL), ("b", NOTES))
    )
    wanted = artifact(FilesSource(WHERE, files))
    assert [entry.path for entry in store.expected(wanted)] == ["a", "b"]
    found = store.resolve(wanted)
    blob = store.root / "blobs/sha256" / found.entries[0].sha256[:2] / found.entries[0].sha256
    (found.path / "a").unlink()
    blob.unlink()
    store.resolve(wanted)
    assert mirror.requests == ["/a", "/b", "/a"]


def test_one_wrong_file_fails_the_source(store: Store, mirror: Mirror) -> None:
    good = File((mirror.url("/good", sends(TOOL)),), sha256(TOOL), "a", False)
    bad = File((mirror.url("/bad", sends(b"evil")),), sha256(NOTES), "b", False)
    with pytest.raises(PreflightError) as failure:
        store.resolve(artifact(FilesSource(WHERE, (good, bad))))
    assert "/bad: wrong digest" in failure.value.findings[0].what
    assert not list((store.root / "trees").iterdir())


def test_bigger_than_the_catalogue_says_is_cut_off(store: Store, mirror: Mirror) -> None:
    url = mirror.url("/big", sends(bytes(1000)))
    with pytest.raises(PreflightError) as failure:
        store.resolve(artifact(FilesSource(WHERE, (File((url,), sha256(NOTES), "b", False, 5),))))
    assert "1000 bytes, at most 5" in failure.value.findings[0].what


def test_another_architecture_has_none(store: Store) -> None:
    source = FilesSource.parse({"aarch64": [FIELDS]}, WHERE)
    with pytest.raises(PreflightError) as failure:
        store.resolve(artifact(source))
    assert "no file for x86_64" in failure.value.findings[0].what


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"digest": "md5:1"}, "digest must be"),
        ({"urls": ["http://example.org/tool"]}, "not an https URL"),
        ({"urls": []}, "there is no URL"),
        ({"checksums": "http://example.org/sums"}, "not an https URL"),
        ({"path": ""}, "path must be a string"),
        ({"executable": "yes"}, "executable must be true or false"),
        ({"size": 0}, "size must be a whole number"),
        ({"mode": "0755"}, "unknown key 'mode'"),
    ],
)
def test_entry_that_breaks_the_format_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        FilesSource.parse({"x86_64": [{**FIELDS, **change}]}, WHERE)


def test_two_files_at_one_path_are_refused() -> None:
    with pytest.raises(InputError, match="same path"):
        FilesSource.parse({"any": [FIELDS, FIELDS]}, WHERE)


def test_path_cannot_leave_the_tree() -> None:
    with pytest.raises(PreflightError, match="unsafe path"):
        FilesSource.parse({"any": [{**FIELDS, "path": "../../etc/passwd"}]}, WHERE)
