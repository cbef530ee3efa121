# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""New versions for a lab's own catalogue: URLs, and the digests that the vendor publishes for them."""

from __future__ import annotations

import copy
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import Finding, InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.paths import chown_to_caller, make_dir

from labctl.lab.events import Event, Listener

if TYPE_CHECKING:
    from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store

#: Words that a URL may have in braces, by architecture.
PLACES = {
    "x86_64": {"arch": "x86_64", "goarch": "amd64"},
    "aarch64": {"arch": "aarch64", "goarch": "arm64"},
}
#: What vendors put behind a file's name to name its checksum file.
SUFFIXES = (".sha512", ".sha256", ".sha256sum", ".sha512sum")
ARCHIVES = (".tar", ".tgz", ".tar.gz", ".tar.xz", ".txz", ".tar.bz2", ".zip")
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """What to add. Without ``urls`` the version is like another one of the catalogue, which must have URLs.

    ``urls`` may hold {version}, {arch} (x86_64, aarch64) and {goarch} (amd64, arm64), as may ``checksums``; the file
    goes to ``path``, or, of an archive, what ``select`` (PATTERN, FOLDER) says.
    """

    name: str
    version: str
    urls: tuple[str, ...] = ()
    checksums: str = ""
    summary: str = ""
    licence: str = ""
    path: str = ""
    select: tuple[tuple[str, str], ...] = ()
    like: str = ""
    accept_unpinned: bool = False


def add(wanted: Wanted, folder: Path, store: Store, tell: Listener) -> dict[str, Any]:
    """Write the version into the catalogue in ``folder``; its file, and the digest of each of its files by URL.

    InputError for what cannot be an entry, PreflightError where no checksum file names a file.
    """
    from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue, names, versions

    known = wanted.name in names(store.folders)
    if known and wanted.version in versions(wanted.name, store.folders):
        raise InputError(f"{wanted.name} {wanted.version} is in the catalogue already")
    if not wanted.urls and not known:
        raise InputError(f"nothing is known of {wanted.name}", hint="say where it is with --url")
    base = _entry(wanted, store) if known else {}
    sources = _given(wanted) if wanted.urls else _like(wanted, base)
    digests = {}
    for kind, item in sources:
        for file in _files(kind, item):
            tell(Event("artifact", file["urls"][0].rsplit("/", 1)[-1], "looking for its checksum file"))
            file["digest"] = digests[file["urls"][0]] = _digest(file, wanted)
    path = folder / f"{wanted.name}.yml"
    before = path.read_text(encoding="utf-8") if path.exists() else None
    _write(path, wanted, base, [{kind: item} for kind, item in sources])
    try:
        catalogue(wanted.name, wanted.version, folders=(folder,))
    except (InputError, PreflightError):
        path.unlink() if before is None else path.write_text(before, encoding="utf-8")
        raise
    return {"file": str(path), "digests": digests}


def _entry(wanted: Wanted, store: Store) -> dict[str, Any]:
    """The catalogue's file on the artefact, and in it the version to go by."""
    import yaml
    from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue

    found = catalogue(wanted.name, wanted.like or None, folders=store.folders)
    document: dict[str, Any] = yaml.safe_load(found.sources[0].where.file.read_text(encoding="utf-8"))
    return document | {"like": found.version}


def _like(wanted: Wanted, base: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The sources of the version to go by that are files of the vendor's, with the new version in its place."""
    old = base["like"]
    found = []
    for source in base["versions"][old]["sources"]:
        for kind, item in source.items():
            if kind in ("archive", "files"):
                found.append((kind, _replaced(copy.deepcopy(item), old, wanted.version)))
    if not found:
        raise InputError(
            f"{wanted.name} {old} is not made of a vendor's files", hint="say where the new version is with --url"
        )
    return found


def _replaced(item: Any, old: str, new: str) -> Any:
    """The same with one version for another in every string, and without what was true of the old files only."""
    if isinstance(item, dict):
        return {key: _replaced(value, old, new) for key, value in item.items() if key not in ("size",)}
    if isinstance(item, list):
        return [_replaced(value, old, new) for value in item]
    return re.sub(rf"(?<![0-9.]){re.escape(old)}(?![0-9]|\.[0-9])", new, item) if isinstance(item, str) else item


def _given(wanted: Wanted) -> list[tuple[str, dict[str, Any]]]:
    """A source made of the URLs that were given."""
    arches = list(PLACES) if any(re.search(r"\{(go)?arch\}", url) for url in wanted.urls) else ["any"]
    name = wanted.urls[0].rsplit("/", 1)[-1]
    files: dict[str, Any] = {}
    for arch in arches:
        words = {"version": wanted.version, **PLACES.get(arch, {})}
        try:
            files[arch] = {"urls": [url.format(**words) for url in wanted.urls], "digest": "unpinned"}
            if wanted.checksums:
                files[arch]["checksums"] = wanted.checksums.format(**words)
        except (KeyError, IndexError, ValueError) as exc:
            hint = "{version}, {arch} and {goarch} are"
            raise InputError(f"what stands in braces in a URL is not known: {exc}", hint=hint) from exc
    if name.endswith(ARCHIVES):
        rules = [{"from": pattern, "to": folder} for pattern, folder in wanted.select or (("**", "."),)]
        return [("archive", {"files": files, "select": rules})]
    path = wanted.path or f"bin/{wanted.name}"
    return [("files", {arch: [{**file, "path": path, "executable": True}] for arch, file in files.items()})]


def _files(kind: str, item: dict[str, Any]) -> list[dict[str, Any]]:
    if kind == "archive":
        return list(item["files"].values())
    return [file for files in item.values() for file in files]


def _digest(file: dict[str, Any], wanted: Wanted) -> str:
    """The digest that the vendor's checksum file has of a file, found over https beside it."""
    from ansible_collections.labctl.stacks.plugins.module_utils.store.checksums import digest_in

    url = file["urls"][0]
    problems = []
    for place in [file["checksums"]] if file.get("checksums") else [url + suffix for suffix in SUFFIXES]:
        try:
            found = digest_in(_text(place), url.rsplit("/", 1)[-1])
        except PreflightError as exc:
            problems.append(Finding(place, str(exc).removeprefix(f"{place}: "), exc.hint))
        else:
            file["checksums"] = place
            return found
    if wanted.accept_unpinned:
        return "unpinned"
    raise PreflightError(
        f"no checksum file names {url}",
        hint="Say where the vendor's is with --checksums, or add it unpinned with --accept-unpinned.",
        findings=tuple(problems),
    )


def _text(url: str) -> str:
    from ansible_collections.labctl.stacks.plugins.module_utils.store.digests import UNPINNED
    from ansible_collections.labctl.stacks.plugins.module_utils.store.download import download

    with tempfile.TemporaryDirectory(prefix="labctl-") as work:
        path = Path(work, "checksums")
        download(url, path, UNPINNED, max_bytes=_LARGEST)
        return path.read_text(encoding="utf-8", errors="replace")


def _write(path: Path, wanted: Wanted, base: dict[str, Any], sources: list[dict[str, Any]]) -> None:
    import yaml

    document: dict[str, Any] = {}
    if path.exists():
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    elif wanted.urls and not base and not (wanted.summary and wanted.licence):
        raise InputError(f"{wanted.name} is new", hint="say what it is with --summary, and its --licence (SPDX)")
    head: dict[str, Any] = {
        "name": wanted.name,
        "summary": wanted.summary or base.get("summary", ""),
        "licence": wanted.licence or base.get("licence", ""),
        "default": wanted.version,
        "versions": {},
    }
    document = head | document
    document["versions"][wanted.version] = {"sources": sources}
    if provides := base.get("versions", {}).get(base.get("like"), {}).get("provides"):
        document["versions"][wanted.version]["provides"] = provides
    make_dir(path.parent)
    path.write_text(yaml.safe_dump(document, sort_keys=False, width=120), encoding="utf-8")
    chown_to_caller(path)
