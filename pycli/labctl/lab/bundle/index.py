# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle's index: written the same each time, and read without trusting it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import Entry, plain_path, tree_digest

NAME, SIGNATURE = "index.json", "index.sig"
FORMAT, VERSION = "labctl bundle", 1
#: What an index and a bundle may grow to, in bytes and files: far above any lab.
MAX_INDEX, MAX_BYTES, MAX_FILES = 64 << 20, 1 << 40, 1 << 18
#: Folders that may stand beside a lab's file in a bundle; all else there are plain YAML files and the lock.
LAB_FOLDERS = ("group_vars", "host_vars", "artifacts")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_LAB = re.compile(rf"lab/([a-z0-9_-]+\.yml|lab\.lock|({'|'.join(LAB_FOLDERS)})(/[A-Za-z0-9_][^/]*)+)")
_WHEEL = re.compile(r"wheels/[A-Za-z0-9][A-Za-z0-9._+!-]{0,200}\.whl")


@dataclass(frozen=True)
class Member:
    """A file of a bundle: path in it, bytes, sha256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Artifact:
    """An artefact as the store had it: ``key`` is the digest its source goes by, ``recorded`` whether only a fetch
    tells its files; ``digest`` is its tree's."""

    name: str
    version: str
    arch: str
    key: str
    recorded: bool
    digest: str
    files: tuple[Entry, ...]


@dataclass(frozen=True)
class Index:
    """What a bundle says of itself. ``default`` is whether the lab is a stack's default one, made without a lab.yml;
    ``images`` are locked images as plain data; ``members`` are all files but the index and its signature, in order."""

    labctl: str
    lab: str
    default: bool
    arch: str
    python: str
    artifacts: tuple[Artifact, ...] = ()
    images: tuple[dict[str, Any], ...] = ()
    members: tuple[Member, ...] = field(default=())

    def dump(self) -> bytes:
        """The index as bytes, the same for the same content."""
        data = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return (json.dumps(data, sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode()


def digest_of(raw: bytes) -> str:
    """What a bundle is known by: ``sha256:`` and the digest of its index."""
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def refused(what: str, hint: str = "Get a fresh copy of the bundle; nothing of this one was taken.") -> InputError:
    """The error for a bundle that is not as it should be."""
    return InputError(f"the bundle is refused: {what}", hint=hint)


def parse(raw: bytes) -> Index:
    """Read an index. InputError for anything that :meth:`Index.dump` would not have written."""
    try:
        data = json.loads(raw)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise refused("its index is not that of a labctl bundle", "Was it made by labctl bundle export?")
        if data.get("version") != VERSION:
            raise refused(
                f"its format is {data.get('version')!r}, this labctl reads {VERSION}",
                "Import it with the labctl whose wheel is in it (see wheels/).",
            )
        return _index(data)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, PreflightError) as exc:
        raise refused(f"its index is damaged ({type(exc).__name__}: {str(exc)[:120]})") from exc


def _index(data: dict[str, Any]) -> Index:
    wanted = {"format", "version", *Index.__dataclass_fields__}
    if data.keys() != wanted:
        raise ValueError(f"its keys are not {', '.join(sorted(wanted))}")
    members = tuple(_member(item) for item in _list(data["members"]))
    if len(members) > MAX_FILES or sum(member.size for member in members) > MAX_BYTES:
        raise ValueError("it is larger than any lab")
    if len({member.path for member in members}) != len(members):
        raise ValueError("a file is there twice")
    held = {member.sha256: member.size for member in members}
    artifacts = tuple(_artifact(item, held) for item in _list(data["artifacts"]))
    images = tuple(dict(item) for item in _list(data["images"]))
    for image in images:
        if held.get(str(image["image"]).removeprefix("sha256:")) != image["bytes"]:
            raise ValueError("an image is not among its files")
    if not isinstance(data["default"], bool):
        raise TypeError("default is not true or false")
    return Index(
        labctl=_word(data["labctl"]),
        lab=_word(data["lab"]),
        default=data["default"],
        arch=_word(data["arch"]),
        python=_word(data["python"]),
        artifacts=artifacts,
        images=images,
        members=members,
    )


def _list(item: Any) -> list[Any]:
    if not isinstance(item, list):
        raise TypeError("not a list")
    return item


def _word(item: Any) -> str:
    if not isinstance(item, str) or not _WORD.fullmatch(item):
        raise ValueError(f"not a plain word: {item!r}")
    return item


def _size(item: Any) -> int:
    if type(item) is not int or not 0 <= item <= MAX_BYTES:
        raise ValueError(f"not a size: {item!r}")
    return item


def _sha256(item: Any) -> str:
    if not isinstance(item, str) or not _SHA256.fullmatch(item):
        raise ValueError(f"not a sha256: {item!r}")
    return item


def _path(item: Any) -> str:
    if not isinstance(item, str) or len(item.encode()) > 250 or plain_path(item) != item:
        raise ValueError(f"not a plain path: {item!r}")
    return item


def _member(item: Any) -> Member:
    member = Member(_path(item["path"]), _size(item["size"]), _sha256(item["sha256"]))
    blob = f"blobs/sha256/{member.sha256[:2]}/{member.sha256}"
    known = member.path == blob or _WHEEL.fullmatch(member.path) or _LAB.fullmatch(member.path)
    if not known or item.keys() != {"path", "size", "sha256"}:
        raise ValueError(f"a file that no bundle has: {member.path!r}")
    return member


def _artifact(item: Any, held: dict[str, int]) -> Artifact:
    if item.keys() != set(Artifact.__dataclass_fields__) or not isinstance(item["recorded"], bool):
        raise ValueError("an artefact is described in another way")
    files = tuple(Entry(_path(path), mode, _size(size), _sha256(sha)) for path, mode, size, sha in item["files"])
    for entry in files:
        if entry.mode not in (0o444, 0o555) or held.get(entry.sha256) != entry.size:
            raise ValueError(f"{entry.path!r} of {item['name']!r} is not among its files")
    if tree_digest(files) != item["digest"] or len({entry.path for entry in files}) != len(files):
        raise ValueError(f"the files of {item['name']!r} are not those of its digest")
    return Artifact(
        name=_word(item["name"]),
        version=_word(item["version"]),
        arch=_word(item["arch"]),
        key=_sha256(item["key"]),
        recorded=item["recorded"],
        digest=item["digest"],
        files=files,
    )
