# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artefacts by name: what the catalogue and the store have of them, and bringing several into the store at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import Finding, InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.stacks import STACKS

from labctl.lab.events import Event, Listener
from labctl.lab.parallel import together

if TYPE_CHECKING:
    from ansible_collections.labctl.stacks.plugins.module_utils.lablock import LabLock
    from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import Artifact
    from ansible_collections.labctl.stacks.plugins.module_utils.store.keep import Collected
    from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Resolved, Store

#: So many downloads at a time.
AT_ONCE = 4
#: Kinds of sources that make an artefact here.
BUILDERS = ("go", "image", "maven", "debian")


def needed(lab: Lab) -> list[str]:
    """The names of what a lab's stacks install."""
    return list(dict.fromkeys(artifact for stack in lab.stacks for artifact in STACKS[stack].artifacts))


def store_of(lab: Lab | Path, *, accept_unpinned: bool = False) -> Store:
    """The store, with the catalogues that a lab, or one that would be made in a folder, looks into."""
    from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import folders
    from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store

    folder = lab if isinstance(lab, Path) else lab.spec.parent
    return Store(accept_unpinned=accept_unpinned, folders=folders(folder))


def named(words: Iterable[str], store: Store) -> list[Artifact]:
    """Entries of the catalogue, each by NAME, which means its default version, or by NAME=VERSION. InputError."""
    from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue

    found = {}
    for word in words:
        name, _, version = word.partition("=")
        entry = catalogue(name, version or None, folders=store.folders)
        found[name, entry.version] = entry
    return list(found.values())


def wanted(lab: Lab, store: Store) -> list[Artifact]:
    """What a lab's stacks install, in the versions that the lab keeps to."""
    from ansible_collections.labctl.stacks.plugins.module_utils.lablock import LabLock

    lock = LabLock(lab.spec.parent)
    return [lock.wanted(name, None, store) for name in needed(lab)]


def verify(tell: Listener) -> tuple[int, list[Finding]]:
    """Read the whole store: how many files there are, and what is damaged."""
    from ansible_collections.labctl.stacks.plugins.module_utils.store import keep
    from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store

    return keep.verify(
        Store().root, lambda done, total: tell(Event("artifact", "store", "reading", done=done, total=total))
    )


def collect(budget: str | None, *, dry_run: bool) -> Collected:
    """Remove what is not needed, and with a budget, such as 10GiB, what is least used. InputError."""
    from ansible_collections.labctl.stacks.plugins.module_utils.store import keep
    from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store

    units = {"MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(MiB|GiB|TiB)", budget or "0MiB", re.ASCII)
    if match is None:
        raise InputError(f"{budget} is no size", hint="such as 500MiB or 10GiB; units: MiB, GiB, TiB")
    most = int(float(match[1]) * units[match[2]]) if budget is not None else None
    return keep.collect(Store().root, most, dry_run=dry_run)


def listing(store: Store) -> list[dict[str, Any]]:
    """Every version in the catalogue, with what the store has of it; ``bytes`` is 0 where that is not known."""
    from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue, names, versions

    rows = []
    for name in names(store.folders):
        for at, version in enumerate(versions(name, store.folders)):
            entry = catalogue(name, version, folders=store.folders)
            found = store.find(entry)
            entries = found.entries if found else store.expected(entry)
            rows.append(
                {
                    "name": name,
                    "version": version,
                    "default": at == 0,
                    "licence": entry.licence,
                    "sources": [source.name for source in entry.sources],
                    "digest": found.digest if found else "",
                    "bytes": sum(one.size for one in entries),
                    "summary": entry.summary,
                }
            )
    return rows


def build(artifacts: list[Artifact], tell: Listener, store: Store) -> list[Resolved]:
    """Build artefacts here that could be fetched elsewhere, as many at a time as memory allows.

    Raises InputError for one that no source builds, and PreflightError as :func:`fetch` does.
    """
    from ansible_collections.labctl.stacks.plugins.module_utils.store.gotool import builds

    for artifact in artifacts:
        if not _builder(artifact):
            raise InputError(
                f"{artifact.name} {artifact.version} is not built, only fetched",
                hint=f"labctl artifacts fetch {artifact.name}={artifact.version}",
            )
    return fetch(artifacts, tell, store, source=_builder, at_once=builds())


def _builder(artifact: Artifact) -> str:
    """The first of an artefact's sources that builds it; none where it is only fetched."""
    return next((source.name for source in artifact.sources if source.name in BUILDERS), "")


def fetch(
    artifacts: list[Artifact],
    tell: Listener,
    store: Store,
    *,
    source: str | Callable[[Artifact], str] = "",
    at_once: int = AT_ONCE,
    lock: LabLock | None = None,
) -> list[Resolved]:
    """Bring artefacts into the store, several at a time; in the order they were given. ``lock`` says what they must be.

    Raises PreflightError that names each that cannot be had with every source's reason, after all others have arrived.
    """

    def step(artifact: Artifact, title: str) -> Callable[[], Resolved]:
        digest = lock.digest(artifact) if lock else ""

        def run() -> Resolved:
            found = store.resolve(
                artifact,
                lambda text, done, total: tell(Event("artifact", title, text, done=done, total=total)),
                source=source if isinstance(source, str) else source(artifact),
                digest=digest,
                locked_by=str(lock.path) if lock and digest else "",
            )
            tell(Event("artifact", title, f"{found.version} from {found.source}"))
            return found

        return run

    titles = {f"artefact {artifact.name} {artifact.version}": artifact for artifact in artifacts}
    results, errors, _ = together({title: step(one, title) for title, one in titles.items()}, most=at_once)
    for error in errors.values():
        if not isinstance(error, PreflightError) or len(errors) == 1:
            raise error
    if errors:
        raise PreflightError(
            f"{len(errors)} of {len(titles)} artefacts cannot be had",
            hint="Mend one source of each, and run the same command again: what has arrived stays.",
            findings=tuple(finding for title, error in errors.items() for finding in _findings(title, error)),
        )
    return [results[title] for title in titles]


def _findings(title: str, error: BaseException) -> list[Finding]:
    inner = error.findings if isinstance(error, PreflightError) else ()
    return [Finding(f"{title}, {one.where}", one.what, one.mend) for one in inner] or [Finding(title, str(error))]
