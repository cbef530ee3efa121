# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small bundles, honest and other."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path
from typing import Any

import zstandard
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import Entry, tree_digest
from labctl.lab.bundle.index import NAME, Artifact, Index, Member
from labctl.lab.bundle.write import Opener, unique, write

LAB = b"name: carried\nprovider: nspawn\nhosts: {one: {}}\nstacks: []\n"
CONTENT = {"lib/a.jar": b"first jar", "bin/run": b"#!/bin/sh\n", "empty": b""}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def blob_path(content: bytes) -> str:
    return f"blobs/sha256/{sha256(content)[:2]}/{sha256(content)}"


def artifact(content: dict[str, bytes] = CONTENT, **changes: Any) -> Artifact:
    files = tuple(
        sorted(Entry(p, 0o555 if p.startswith("bin/") else 0o444, len(c), sha256(c)) for p, c in content.items())
    )
    fields: dict[str, Any] = {
        "name": "thing", "version": "1.0", "arch": platform.machine(), "key": sha256(b"key"), "recorded": True,
        "digest": tree_digest(files), "files": files,
    }  # fmt: skip
    return Artifact(**{**fields, **changes})


def index(members: dict[str, bytes], **changes: Any) -> Index:
    listed = unique(Member(path, len(content), sha256(content)) for path, content in members.items())
    fields: dict[str, Any] = {
        "labctl": "0.1.0", "lab": "carried", "default": False, "arch": platform.machine(), "python": "cp311",
        "artifacts": (artifact(),), "images": (), "members": listed,
    }  # fmt: skip
    return Index(**{**fields, **changes})


def contents(lab: bytes = LAB) -> dict[str, bytes]:
    """Every member of an honest bundle."""
    wheel = b"a wheel"
    blobs = {blob_path(content): content for content in CONTENT.values()}
    return {**blobs, "wheels/labctl-0.1.0-py3-none-any.whl": wheel, "lab/lab.yml": lab}


def openers(members: dict[str, bytes]) -> dict[str, Opener]:
    return {path: lambda content=content: io.BytesIO(content) for path, content in members.items()}  # type: ignore[misc]


def bundle(path: Path, **changes: Any) -> Path:
    """An honest bundle."""
    members = contents()
    sign = changes.pop("sign", None)
    write(path, index(members, **changes), openers(members), sign=sign, progress=lambda done, total: None)
    return path


def header(name: str, size: int = 0, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def packed(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.USTAR_FORMAT) -> Path:
    """A tar of exactly these headers and contents, compressed."""
    raw = b"".join(info.tobuf(form) + content + bytes(-len(content) % tarfile.BLOCKSIZE) for info, content in members)
    path.write_bytes(zstandard.ZstdCompressor().compress(raw + bytes(2 * tarfile.BLOCKSIZE)))
    return path


def with_index(path: Path, raw: bytes, rest: list[tuple[tarfile.TarInfo, bytes]] | None = None) -> Path:
    """A bundle with these bytes for an index, and the honest members after it unless others are given."""
    if rest is None:
        members = contents()
        rest = [(header(one.path, one.size), members[one.path]) for one in index(members).members]
    return packed(path, [(header(NAME, len(raw)), raw), *rest])


def edited(**changes: Any) -> bytes:
    """An honest index with some keys changed."""
    data = json.loads(index(contents()).dump())
    return json.dumps({**data, **changes}).encode()
