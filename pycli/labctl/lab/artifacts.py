# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artefacts by name: what the catalogue and the store have of them, and bringing several into the store at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import Finding, InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.stacks import STACKS

from labctl.lab.events import Event, Listener
from labctl.lab.parallel import together

if TYPE_CHECKING:
    from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import Artifact
    from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Resolved, Store

#: So many downloads at a time.
AT_ONCE = 4
#: Kinds of sources that make an artefact here.
BUILDERS = ("go", "image")


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
) -> list[Resolved]:
    """Bring artefacts into the store, several at a time; in the order they were given.

    Raises PreflightError that names each that cannot be had with every source's reason, after all others have arrived.
    """

    def step(artifact: Artifact, title: str) -> Callable[[], Resolved]:
        def run() -> Resolved:
            found = store.resolve(
                artifact,
                lambda text, done, total: tell(Event("artifact", title, text, done=done, total=total)),
                source=source if isinstance(source, str) else source(artifact),
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
