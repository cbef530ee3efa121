# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: ``lab.lock`` beside a lab's file, the versions and bytes that the lab resolved to.

Whoever resolves an artefact for a lab first writes its version and its tree's digest there; from then on everybody
keeps to them, under ``labctl`` and plain Ansible alike. Another version, or other bytes, stop the run.

    version: 1
    artifacts:
      hadoop:
        "3.5.0": {x86_64: 8ce5d528976b859fc696a8376bff2f31eddb2e26bfd8d95e05c6904a6418c66e}
    image: {...}        # what the hosts' base image is made of, in the words of the provider that makes it
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError, PreflightError
from .paths import chown_to_caller

if TYPE_CHECKING:
    from .store.catalogue import Artifact
    from .store.sources.base import Progress
    from .store.store import Resolved, Store

FILE = "lab.lock"
HEADER = """\
# What this lab resolved to. labctl and Ansible keep to it; `labctl lock --upgrade` moves it. Keep it with lab.yml.
"""

#: Name to version to architecture to the tree's digest; the first version is the one where nobody asks for another.
Locked = dict[str, dict[str, dict[str, str]]]
_KEYS = {"version", "artifacts", "image"}


class LabLock:
    """The lock of the lab whose file stands in ``folder``; nothing need be there yet."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def read(self) -> Locked:
        """The artefacts; empty where there is no lock. InputError for a file that is not as we write it."""
        found: Locked = self._read().get("artifacts", {})
        return found

    def image(self) -> dict[str, Any] | None:
        """What the provider locked of the base image; None where it did not yet."""
        found: dict[str, Any] | None = self._read().get("image")
        return found

    def _read(self) -> dict[str, Any]:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as exc:
            raise InputError(f"{self.path}: not readable: {exc.strerror}") from exc
        try:
            return parse(content)
        except ValueError as exc:
            hint = "Put it back from version control, or remove it and run labctl up."
            raise InputError(f"{self.path}: {exc}", hint=hint) from exc

    def version(self, name: str) -> str | None:
        """The version of an artefact that the lab keeps to; None where none is locked."""
        return next(iter(self.read().get(name, {})), None)

    def wanted(self, name: str, version: str | None, store: Store) -> Artifact:
        """The catalogue's entry: of the version asked for, else of the locked one, else of the catalogue's default.

        PreflightError where another version is locked, or the catalogue lacks the locked one; InputError for a version
        that nobody has.
        """
        from .store.catalogue import catalogue, versions

        locked = self.read().get(name, {})
        chosen = version or next(iter(locked), None)
        if locked and chosen not in locked:
            catalogue(name, chosen, folders=store.folders)  # moving the lab to what does not exist is no mend
            raise PreflightError(
                f"{name} {chosen} is asked for, but this lab keeps to {', '.join(locked)} ({self.path})",
                hint=f"To move it: labctl lock --upgrade {name}={chosen}.",
            )
        if locked and chosen not in versions(name, store.folders):
            raise PreflightError(
                f"this lab keeps to {name} {chosen} ({self.path}), which the catalogue does not have",
                hint=f"Take a labctl that has it, or move it: labctl lock --upgrade {name}.",
            )
        return catalogue(name, chosen, folders=store.folders)

    def digest(self, artifact: Artifact) -> str:
        """The digest that the artefact's tree must have; empty where none is locked."""
        return self.read().get(artifact.name, {}).get(artifact.version, {}).get(artifact.arch, "")

    def resolve(
        self, artifact: Artifact, store: Store, progress: Progress | None = None, *, source: str = ""
    ) -> Resolved:
        """The artefact with the locked bytes; what was not locked yet is, by this. PreflightError for other bytes."""
        digest = self.digest(artifact)
        found = store.resolve(
            artifact, progress, source=source, digest=digest, locked_by=str(self.path) if digest else ""
        )
        if not digest:
            self.record([(artifact.name, artifact.version, artifact.arch, found.digest)])
        store.remember_lab(self.path)
        return found

    def record(self, rows: list[tuple[str, str, str, str]], *, anew: set[str] | frozenset[str] = frozenset()) -> None:
        """Add (name, version, architecture, digest); of the artefacts ``anew``, what was locked before goes."""
        with self._held():
            data = self._read()
            locked = {name: versions for name, versions in data.get("artifacts", {}).items() if name not in anew}
            for name, version, arch, digest in rows:
                locked.setdefault(name, {}).setdefault(version, {})[arch] = digest
            self._write(data | {"artifacts": {name: locked[name] for name in sorted(locked)}})

    def record_image(self, image: dict[str, Any] | None) -> None:
        """Lock a base image, or none, so that the next host that is made brings a new one."""
        with self._held():
            data = self._read()
            if data.pop("image", None) != image:
                self._write(data | ({"image": image} if image else {}))

    def _write(self, data: dict[str, Any]) -> None:
        import yaml

        data = {"version": 1, "artifacts": {}} | data
        draft = self.path.with_name(f".{FILE}.{secrets.token_hex(4)}")
        with draft.open("x", encoding="utf-8") as stream:
            stream.write(HEADER + yaml.safe_dump(data, sort_keys=False, width=200))
            stream.flush()
            os.fsync(stream.fileno())
        chown_to_caller(draft)
        draft.replace(self.path)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Alone among those who write: Ansible's forks do so at the same time."""
        descriptor = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def parse(content: bytes) -> dict[str, Any]:
    """What a lock's bytes hold, by its keys. ValueError for what we would not have written."""
    import yaml

    try:
        data = yaml.safe_load(content.decode())
    except (yaml.YAMLError, RecursionError) as exc:
        raise ValueError(f"not readable: {exc}") from exc
    if not isinstance(data, dict) or data.get("version") != 1 or set(data) - _KEYS:
        raise ValueError("not a lock of version 1")
    if not isinstance(data.get("image", {}), dict):
        raise ValueError("image is not a mapping")
    for name, version, arch, digest in rows(data.get("artifacts", {})):
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ValueError(f"the digest of {name} {version} for {arch} is not 64 hex digits")
    return data


def rows(data: Any) -> Iterator[tuple[str, str, str, str]]:
    """(name, version, architecture, digest) of what a lock holds; ValueError where it has another shape."""
    if not isinstance(data, dict):
        raise ValueError("artifacts is not a mapping")
    for name, versions in data.items():
        if not isinstance(versions, dict) or not versions:
            raise ValueError(f"{name} has no versions")
        for version, digests in versions.items():
            if not isinstance(digests, dict) or not digests:
                raise ValueError(f"{name} {version} has no digests")
            for arch, digest in digests.items():
                if not all(isinstance(word, str) for word in (name, version, arch, digest)):
                    raise ValueError(f"{name} {version}: not all of it are strings; put numbers into quotes")
                yield name, version, arch, digest


def only_added(before: bytes, after: bytes) -> bool:
    """Whether a lock still says all that it said of artefacts, and of each the same version first.

    The image is nobody's concern who is there already.
    """
    try:
        old, new = (parse(content).get("artifacts", {}) if content else {} for content in (before, after))
    except ValueError:
        return False
    return set(rows(old)) <= set(rows(new)) and all(next(iter(old[name])) == next(iter(new[name])) for name in old)
