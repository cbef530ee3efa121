# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the private folder on the controller with a lab's passwords, keys and certificates.

``<lab folder>/secrets`` is 0700, its files 0600, all of them the calling user's also under sudo. Files appear whole or
not at all: a run killed while it makes a password must not leave an empty one, which would be taken for the password.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from .errors import InputError
from .paths import chown_to_caller, make_dir


def path_part(name: str) -> str:
    """A host's or role's name as one part of a path: the name itself where it is harmless, else escaped as in a URL."""
    escaped = quote(name, safe="")
    return f"%2E{escaped[1:]}" if escaped.startswith(".") else escaped


class SecretFolder:
    """The secrets of one lab. Names are paths below the folder, such as ``pki/ca-1.crt``. Reading makes nothing."""

    def __init__(self, lab_dir: Path) -> None:
        self.path = lab_dir / "secrets"

    def read(self, name: str) -> str | None:
        """What the file holds, without the line end; None where there is none. InputError if unreadable or empty."""
        path = self._path(name)
        try:
            value = path.read_text(encoding="utf-8").rstrip("\r\n")
        except FileNotFoundError:
            return None
        except PermissionError as exc:
            raise InputError(f"{path} cannot be read", hint="run as the user who made the lab") from exc
        except (OSError, UnicodeDecodeError):
            # Without the cause, which would show a part of the secret.
            raise InputError(f"{path} is not a file with text", hint="put back what it held") from None
        if not value:
            raise InputError(f"{path} is empty", hint="put back what it held, or remove it to have it made anew")
        return value

    def write(self, name: str, value: str, mode: int = 0o600) -> None:
        """Write a line or lines, atomically; folders on the way are made. The caller holds the lock."""
        path = self._path(name)
        for parent in reversed(path.relative_to(self.path).parents):
            make_dir(self.path / parent, 0o700)
        descriptor, draft = tempfile.mkstemp(prefix=".", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(value.rstrip("\n") + "\n")
                stream.flush()
                os.fchmod(stream.fileno(), mode)
                os.fsync(stream.fileno())
            chown_to_caller(Path(draft))
            Path(draft).replace(path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other forks and other runs out; the folder is made, and made private, where it is not."""
        if self.path.is_symlink():
            raise InputError(f"{self.path} is a link", hint="make it a folder")
        make_dir(self.path, 0o700)
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # The kernel lets go of it when the process ends, however it ends.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if stat.S_IMODE(os.fstat(descriptor).st_mode) != 0o700:
                os.fchmod(descriptor, 0o700)
            yield
        finally:
            os.close(descriptor)

    def _path(self, name: str) -> Path:
        parts = name.split("/")
        if any(not part or part.startswith(".") or "\0" in part for part in parts):
            raise InputError(f"{name!r} is not the name of a secret", hint="for example elasticsearch_elastic")
        return self.path.joinpath(*parts)
