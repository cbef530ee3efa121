# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the catalogue, which pins what every artefact is made of and where it may come from.

``artifacts/<name>.yml`` is described in ``artifacts/README.md``. An entry is read strictly: a key that is not known
is an error, since a misspelt ``digest`` must not turn into no digest.
"""

from __future__ import annotations

import difflib
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError
from .sources import KINDS
from .sources.base import Source, Where
from .tree import plain_path

#: The catalogue of this collection, <collection>/artifacts; links are not resolved, an editable checkout is one.
FOLDER = Path(__file__).absolute().parents[3] / "artifacts"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class Artifact:
    """A catalogue entry for one version and architecture.

    ``sources`` are in order of preference; ``provides`` maps names that users look for to files or folders of the tree.
    """

    name: str
    version: str
    arch: str
    sources: tuple[Source, ...]
    summary: str = ""
    licence: str = ""
    provides: dict[str, str] = field(default_factory=dict)


def names(folder: Path = FOLDER) -> list[str]:
    """The artefacts of the catalogue."""
    return sorted(path.stem for path in folder.glob("*.yml"))


def versions(name: str, folder: Path = FOLDER) -> list[str]:
    """The versions of an artefact, its default first. Raises InputError as :func:`catalogue` does."""
    _, entry = _read(name, folder)
    return sorted(entry["versions"], key=lambda version: version != entry["default"])


def catalogue(name: str, version: str | None = None, *, folder: Path = FOLDER, arch: str = "") -> Artifact:
    """The catalogue's entry for an artefact; the default version without one, this machine's architecture without one.

    Raises InputError for a name or a version that is not there, and for an entry that breaks the format.
    """
    file, entry = _read(name, folder)
    wanted = version or entry["default"]
    if wanted not in entry["versions"]:
        raise _unknown(f"version of {name}", wanted, sorted(entry["versions"]))
    where = Where(file, name, wanted, arch or platform.machine(), entry["licence"])
    parsed = where.keys(entry["versions"][wanted], "the version", required={"sources"}, optional={"provides"})
    if not isinstance(parsed["sources"], list) or not parsed["sources"]:
        raise where.error("sources must be a list of at least one source")
    return Artifact(
        name=name,
        version=wanted,
        arch=where.arch,
        sources=tuple(_source(item, where) for item in parsed["sources"]),
        summary=entry["summary"],
        licence=entry["licence"],
        provides={
            what: plain_path(path) for what, path in where.mapping(parsed.get("provides", {}), "provides").items()
        },
    )


def _read(name: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """An entry's file and its top level, which is as it should be; its versions are not looked into."""
    known = names(folder)
    if name not in known:
        raise _unknown("artefact", name, known)
    file = folder / f"{name}.yml"
    where = Where(file, name)
    try:
        document = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as exc:
        raise where.error(f"not readable: {exc}") from exc
    entry = where.keys(document, "the file", required={"name", "summary", "licence", "default", "versions"})
    for key in ("name", "summary", "licence", "default"):
        where.string(entry[key], key)
    if entry["name"] != name or not _NAME.fullmatch(name):
        raise where.error(f"name must be that of the file, in lower case: {name}")
    if not isinstance(entry["versions"], dict) or not all(isinstance(one, str) for one in entry["versions"]):
        raise where.error("versions must be a mapping whose keys are strings; put them into quotes")
    if entry["default"] not in entry["versions"]:
        raise where.error(f"default {entry['default']!r} is not one of the versions")
    return file, entry


def _source(item: Any, where: Where) -> Source:
    if not isinstance(item, dict) or len(item) != 1 or (kind := next(iter(item))) not in KINDS:
        raise where.error(f"a source is a mapping with one key, one of {', '.join(KINDS)}")
    return KINDS[kind].parse(item[kind], where)


def _unknown(kind: str, wanted: str, known: list[str]) -> InputError:
    nearest = difflib.get_close_matches(wanted, known, n=1)
    hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
    return InputError(
        f"no {kind} {wanted!r} in the catalogue", hint=f"{hint}There is: {', '.join(known) or 'nothing'}."
    )
