# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what a kind of source is, and what the store hands it.

A source turns a few lines of the catalogue into verified files. To write one, derive from :class:`Source` in a file of
its own and add the class to ``KINDS``. The store does the rest: it asks nothing of a source whose files it has, tries
mirrors first, holds the artefact's lock, lays the tree out, and goes on to the next source after a PreflightError.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ...errors import InputError, PreflightError
from ..blobs import Blobs
from ..digests import UNPINNED
from ..download import Rules, download
from ..mirrors import Mirror
from ..tree import Entry

if TYPE_CHECKING:
    from ..store import Resolved

#: Told what is being done, bytes so far, and bytes in all (0 where that is not known).
Progress = Callable[[str, int, int], None]


def silent(step: str, done: int, total: int) -> None:
    """A progress that nobody looks at."""


@dataclass(frozen=True)
class Where:
    """The place in the catalogue that a source stands at: for messages, and for what depends on the architecture."""

    file: Path
    name: str
    version: str = ""
    arch: str = ""
    licence: str = ""

    def error(self, message: str, hint: str = "") -> InputError:
        """An error about this place."""
        version = f": {self.version}" if self.version else ""
        return InputError(f"{self.file}{version}: {message}", hint=hint)

    def keys(
        self, item: object, label: str, *, required: set[str] | frozenset[str] = frozenset(),
        optional: set[str] | frozenset[str] = frozenset(),
    ) -> dict[str, Any]:  # fmt: skip
        """The mapping, when it has all the required keys and no unknown ones; else InputError."""
        if not isinstance(item, dict):
            raise self.error(f"{label} must be a mapping")
        for key in item:
            if key not in required | optional:
                known = sorted(required | optional)
                nearest = difflib.get_close_matches(str(key), known, n=1)
                raise self.error(f"{label} has an unknown key {key!r}", f"Known: {', '.join(nearest or known)}.")
        if missing := sorted(required - item.keys()):
            raise self.error(f"{label} lacks {', '.join(missing)}")
        return item

    def strings(self, item: object, label: str) -> tuple[str, ...]:
        """A list of strings; else InputError."""
        if not isinstance(item, list) or not all(isinstance(one, str) for one in item):
            raise self.error(f"{label} must be a list of strings")
        return tuple(item)

    def string(self, item: object, label: str) -> str:
        """A string that is not empty; else InputError."""
        if not isinstance(item, str) or not item:
            raise self.error(f"{label} must be a string; put a number into quotes")
        return item

    def mapping(self, item: object, label: str) -> dict[str, str]:
        """A mapping of strings to strings; else InputError."""
        if not isinstance(item, dict) or not all(isinstance(one, str) for pair in item.items() for one in pair):
            raise self.error(f"{label} must be a mapping of strings to strings")
        return item

    def count(self, item: object, label: str) -> int:
        """A whole number above zero; else InputError."""
        if not isinstance(item, int) or isinstance(item, bool) or item < 1:
            raise self.error(f"{label} must be a whole number above zero")
        return item


@dataclass
class Job:
    """What the store asks of a source, and what it lends it.

    ``missing`` are those of the source's known files that the store lacks; empty where nothing is known beforehand.
    ``blobs`` takes files in (``add``, ``add_stream``); ``blobs.work`` is an empty folder on the same file system, the
    job's alone, removed after it. ``resolve`` gives another artefact of the catalogue, by name and version.
    """

    blobs: Blobs
    missing: list[Entry]
    resolve: Callable[[str, str | None], Resolved]
    progress: Progress = silent
    rules: Rules = field(default_factory=Rules)
    accept_unpinned: bool = False
    mirrors: tuple[Mirror, ...] = ()

    @property
    def work(self) -> Path:
        """The job's own empty folder."""
        return self.blobs.work

    def note(self, text: str) -> None:
        """Something a person should know, also where all went well."""
        self.blobs.notes.append(text)

    def check_pinned(self, digest: str) -> None:
        """Refuse what is not pinned, unless the user takes it on trust."""
        if digest == UNPINNED and not self.accept_unpinned:
            raise PreflightError(
                "its digest is unpinned, so nothing says that the file is the right one",
                hint="To take it on trust, give --accept-unpinned, or the artefact's name in LABCTL_ACCEPT_UNPINNED.",
            )

    def download(self, urls: tuple[str, ...], digest: str, max_bytes: int) -> Path:
        """A file from a mirror or its first URL that gives it, verified against ``digest``; where in ``work`` it lies.

        PreflightError with each one's reason where none does. A transfer that broke goes on where it stopped.
        """
        self.check_pinned(digest)
        path, problems = self.work / "download", []
        for place, get in self._places(urls, digest, max_bytes, path):
            step = f"download from {place}"
            try:
                found = get(lambda done, total, step=step: self.progress(step, done, total))
            except PreflightError as exc:
                path.unlink(missing_ok=True)
                problems.append(f"{exc} ({exc.hint})" if exc.hint else str(exc))
                continue
            if digest == UNPINNED:
                name = urls[0].rsplit("/", 1)[-1]
                self.note(f"{name} was taken on trust; if it is the right one, pin it with digest: {found}")
            return path
        raise PreflightError("; ".join(problems), hint="Check the network, or use another source.")

    def _places(
        self, urls: tuple[str, ...], digest: str, max_bytes: int, path: Path
    ) -> Iterator[tuple[str, Callable[[Callable[[int, int], None]], str]]]:
        """Where to try, by name, with a function that fetches from there to ``path`` and returns the digest found."""
        for mirror in self.mirrors if digest != UNPINNED else ():
            name = urls[0].rsplit("/", 1)[-1]

            def copy(tell: Callable[[int, int], None], mirror: Mirror = mirror, name: str = name) -> str:
                mirror.get(name, path, digest, max_bytes, self.rules, tell)
                return digest

            yield mirror.place, copy
        for url in urls:
            partial = self.blobs.partial(f"{url} {digest}")

            def load(tell: Callable[[int, int], None], url: str = url, partial: Path = partial) -> str:
                return download(
                    url, path, digest, max_bytes=max_bytes, rules=self.rules, partial=partial, progress=tell
                )

            yield url.split("/")[2], load


@dataclass(frozen=True)
class Source(ABC):
    """One way to come by an artefact of one version for one architecture."""

    where: Where
    #: The source's key in the catalogue, and what a user's option ``source`` names.
    name: ClassVar[str] = ""

    @classmethod
    @abstractmethod
    def parse(cls, fields: Any, where: Where) -> Source:
        """Read what stands under the source's key. Strict: InputError that names the place for all it does not know."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Hex digest of everything that decides the content. The store files what a fetch gave under it."""

    def entries(self) -> list[Entry] | None:
        """The whole tree, where the catalogue itself pins every file of it; None where only fetching tells."""
        return None

    @abstractmethod
    def fetch(self, job: Job) -> list[Entry]:
        """Bring what is missing, verify it, take it into the store; all files of the tree.

        Raises PreflightError that says in a line why it cannot, with a hint, having taken nothing that is not right.
        """

    def inputs(self) -> list[Mapping[str, str]]:
        """What the artefact is made of, for lists of parts: name, version, licence, purl and digest, each a string."""
        return []
