# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the manifest, a host's record of what each role manages on it.

One file per role, ``/var/lib/labctl/manifest.d/<role>.json``, 0600, canonical JSON without times, so that a run
which changes nothing leaves it byte-identical::

    {"version": 1, "role": "hdfs", "sections": {"<module>/<part>": {"<kind>": [record, ...]}}}

A *kind* is always a list of records and names a sort of thing: files, links, directories, packages, users, groups,
sysctls, kernel_modules, host_names, units, checks. A *record* is a dictionary whose identity is its ``path``, else its
``name``.
``before`` in a record says what stood there before labctl came: ``"absent"``, or whatever the module needs to put it
back. A thing may be listed by several sections of several roles; whoever stops listing it undoes it only when no other
section lists it (:meth:`Manifest.owners`), and ``before`` travels from the first to the last of them
(:meth:`Manifest.before`).

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import copy
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, PreflightError

#: Everything labctl keeps on a host it manages: manifest.d/, manifest.key, backup/.
ROOT = Path("/var/lib/labctl")
VERSION = 1
ABSENT = "absent"

_ROLE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PART = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


class Owner(NamedTuple):
    """A section that lists a thing, with its record of it."""

    role: str
    section: str
    record: dict[str, Any]


def identity(record: dict[str, Any]) -> str:
    """What tells this record from others of its kind: its path, else its name."""
    return str(record["path"] if "path" in record else record["name"])


def section_key(module: str, part: str) -> str:
    """The key of a section. InputError for a part that is not a plain lower-case word."""
    if not _PART.fullmatch(part):
        raise InputError(f"part {part!r} is not a name", hint="use lower-case letters, digits, '-', '_' and '.'")
    return f"{module}/{part}"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a root-only (0600) file whole or not at all, and see it on the disk before returning."""
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=f".{path.name}", dir=str(path.parent))
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise


@contextmanager
def locked(root: Path = ROOT) -> Iterator[None]:
    """Hold the manifests of this host for one module call, so that two calls at once lose no update.

    Everything between load and save belongs inside. The lock is on the folder itself, and on leaving, folders with
    nothing of ours are removed: nothing is left behind. A call that waited for a folder which is gone by then starts
    over.
    """
    folder = root / "manifest.d"
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists() and os.fstat(descriptor).st_ino == folder.stat().st_ino:
                try:
                    yield
                finally:
                    _prune(root)
                return
        finally:
            os.close(descriptor)


def _prune(root: Path) -> None:
    """Remove our folders from the host where nothing of ours is left in them."""
    with suppress(OSError):
        (root / "manifest.d").rmdir()
        # The key is of use only with the manifests it was used in.
        with suppress(FileNotFoundError):
            (root / "manifest.key").unlink()
    for folder in (root / "backup", root):
        with suppress(OSError):
            folder.rmdir()


class Manifest:
    """One role's manifest, loaded, changed in memory, saved. ``warnings`` are for the module's result."""

    def __init__(self, role: str, root: Path, sections: dict[str, dict[str, Any]], warnings: list[str]) -> None:
        self.role = role
        self.root = root
        self.warnings = warnings
        self._sections = sections
        self._others: dict[str, dict[str, dict[str, Any]]] | None = None

    @classmethod
    def load(cls, role: str, root: Path = ROOT) -> Manifest:
        """Read the role's manifest; a missing one is empty, and so is a truncated one, with a warning.

        PreflightError for a manifest of a newer version, InputError for a role name that is not an identifier.
        """
        if not _ROLE.fullmatch(role):
            raise InputError(f"role {role!r} is not a role name", hint="use lower-case letters, digits and '_'")
        warnings: list[str] = []
        sections = _read(root / "manifest.d" / f"{role}.json", warnings)
        return cls(role, root, sections, warnings)

    @property
    def path(self) -> Path:
        """Where it is kept on the host."""
        return self.root / "manifest.d" / f"{self.role}.json"

    def keys(self, module: str) -> list[str]:
        """The keys of all sections this module wrote for the role, sorted."""
        return sorted(key for key in self._sections if key.startswith(f"{module}/"))

    def section(self, key: str) -> dict[str, Any] | None:
        """A copy of a section, None where there is none."""
        return copy.deepcopy(self._sections.get(key))

    def records(self, key: str, kind: str) -> dict[str, dict[str, Any]]:
        """A section's records of one kind, by identity; empty where there are none."""
        section = self._sections.get(key) or {}
        return {identity(record): copy.deepcopy(record) for record in section.get(kind, [])}

    def replace(self, key: str, data: dict[str, Any] | None) -> None:
        """Put ``data`` in place of a section. None, or nothing but empty values, drops the section.

        Lists of records are kept sorted by identity, so that the order of options does not matter.
        """
        kept: dict[str, Any] = {}
        for kind, value in (data or {}).items():
            if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
                kept[kind] = sorted(copy.deepcopy(value), key=identity)
            elif value not in (None, "", [], {}):
                kept[kind] = copy.deepcopy(value)
        if kept:
            self._sections[key] = kept
        else:
            self._sections.pop(key, None)

    def save(self) -> str:
        """Write the manifest where it differs from the disk's, and return :attr:`sha256`.

        Atomic: a reader, and a run that was killed, see the old file or the new. With no section left the file goes.
        """
        if not self._sections:
            with suppress(FileNotFoundError):
                self.path.unlink()
            return ""
        content = self._content()
        if self._on_disk() != content:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.parent.chmod(0o700)
            write_atomically(self.path, content)
        elif self.path.stat().st_mode & 0o777 != 0o600:
            self.path.chmod(0o600)
        return hashlib.sha256(content).hexdigest()

    @property
    def sha256(self) -> str:
        """Of the file as it stands on the host, "" where there is none."""
        content = self._on_disk()
        return "" if content is None else hashlib.sha256(content).hexdigest()

    def owners(self, kind: str, ident: str, excluding: str = "") -> list[Owner]:
        """Every section of every role that lists a thing, but for the section ``excluding`` of this role."""
        found = [Owner(self.role, key, record) for key, record in _listing(self._sections, kind, ident)]
        found = [owner for owner in found if owner.section != excluding]
        for role, sections in sorted(self._other_roles().items()):
            found += [Owner(role, key, record) for key, record in _listing(sections, kind, ident)]
        return found

    def identities(self, kind: str, excluding: str = "") -> set[str]:
        """All things of a kind that any role lists, but for those only the section ``excluding`` of this role lists."""
        everyone = [section for key, section in self._sections.items() if key != excluding]
        for sections in self._other_roles().values():
            everyone += sections.values()
        return {identity(record) for section in everyone for record in section.get(kind, [])}

    def everything(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Role, key and content of every section of every role. Not for changing them."""
        for role, sections in [(self.role, self._sections), *sorted(self._other_roles().items())]:
            for key, section in sorted(sections.items()):
                yield role, key, section

    def before(self, key: str, kind: str, ident: str, observed: Any) -> Any:
        """What stood there before labctl: as recorded by this section, else by another, else as just observed."""
        own = self.records(key, kind).get(ident)
        for record in [own] if own else [owner.record for owner in self.owners(kind, ident, excluding=key)]:
            if "before" in record:
                return copy.deepcopy(record["before"])
        return observed

    def hmac(self, content: bytes, create: bool = True) -> str:
        """HMAC-SHA256 of a secret under a random key of this host's own, made on first use.

        A manifest thus holds nothing from which a weak secret could be guessed elsewhere. With ``create`` off and no
        key yet (check mode) a throwaway key is used, as nothing can have been recorded under another.
        """
        path = self.root / "manifest.key"
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            key = b""
        if len(key) != 32:
            key = secrets.token_bytes(32)
            if create:
                self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
                write_atomically(path, key)
        return hmac.new(key, content, hashlib.sha256).hexdigest()

    def _content(self) -> bytes:
        document = {"version": VERSION, "role": self.role, "sections": self._sections}
        return (json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n").encode()

    def _on_disk(self) -> bytes | None:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def _other_roles(self) -> dict[str, dict[str, dict[str, Any]]]:
        if self._others is None:
            paths = sorted(self.path.parent.glob("*.json"))
            self._others = {path.stem: _read(path, self.warnings) for path in paths if path != self.path}
        return self._others


def _listing(sections: dict[str, dict[str, Any]], kind: str, ident: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, section in sorted(sections.items()):
        for record in section.get(kind, []):
            if identity(record) == ident:
                yield key, copy.deepcopy(record)


def _read(path: Path, warnings: list[str]) -> dict[str, dict[str, Any]]:
    """The sections of a manifest file; a file that cannot be understood is empty, with a warning."""
    try:
        document = json.loads(path.read_bytes())
        version = document["version"]
        if isinstance(version, int) and version > VERSION:
            raise PreflightError(
                f"{path} was written by a newer labctl (manifest version {version}, this one knows {VERSION})",
                hint="upgrade labctl on the controller",
            )
        sections: dict[str, dict[str, Any]] = document["sections"]
        for section in sections.values():
            for kind in section.values():
                if not all(map(identity, kind if isinstance(kind, list) else [])):
                    raise ValueError("a record without path or name")
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError):
        warnings.append(f"{path} is truncated or not a manifest; what it recorded is lost and taken as new")
        return {}
    return sections
