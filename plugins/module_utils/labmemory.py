# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what a lab file came to when it was last validated, so that the same bytes are not again.

Loading pydantic and validating take longer than everything else that a command does that finds nothing to do. Kept is
the outcome for these very bytes, read by this very code; anything else counts as nothing kept. It lies among the lab's
secrets, as variables of a lab may be secret: in the folder that the first run makes for the files it ran on.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from hashlib import blake2b
from pathlib import Path
from typing import Any

from .paths import chown_to_caller

NAME = "lab.json"
#: Below the lab folder.
PLACE = f"secrets/inputs/{NAME}"
#: The code that decides what a lab file comes to.
_CODE = ("lab.py", "labfile.py", "labmemory.py", "labschema.py", "stacks.py")
#: As much as a lab file may have, and what its outcome may, with every host written out.
_LONGEST, _LONGEST_OUTCOME = 256 * 1024, 8 << 20


def key_of(spec: Path) -> str:
    """What names the outcome of a lab file; empty for what is no ordinary file, which takes the long way."""
    text = _read(spec, _LONGEST)
    code = [_read(Path(__file__).with_name(name), _LONGEST) for name in _CODE]
    digest = blake2b(digest_size=32)
    for part in (*code, text):
        # Ansible runs modules out of an archive, where there is no code to read.
        if part is None:
            return ""
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def recall(folder: Path, key: str) -> dict[str, Any]:
    """The outcome of this name; {} where another, none, or one that somebody else could have written is kept."""
    text = _read(folder / PLACE, _LONGEST_OUTCOME, own=True) if key else None
    if text is None:
        return {}
    try:
        kept = json.loads(text)
        return dict(kept["lab"]) if kept["key"] == key else {}
    except (ValueError, TypeError, KeyError):
        return {}


def remember(folder: Path, key: str, outcome: dict[str, Any]) -> None:
    """Keep an outcome, whole or not at all, of a lab that was up. Not being able to costs time only."""
    path = folder / PLACE
    if not key or not path.parent.is_dir():
        return
    draft = path.with_name(f".{NAME}.{os.getpid()}")
    with contextlib.suppress(OSError, TypeError, ValueError):
        text = json.dumps({"key": key, "lab": outcome}, allow_nan=False)
        # What does not come back as it went in is not kept: a key of a variable that is no text, for one.
        if json.loads(text)["lab"] != outcome:
            return
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(text)
        chown_to_caller(draft)
        draft.replace(path)


def _read(path: Path, longest: int, *, own: bool = False) -> bytes | None:
    """An ordinary file of at most so many bytes; with ``own``, no link, and nobody else's to write."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if own else 0)
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError):
        return None
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > longest:
            return None
        folder = path.parent.stat()
        if own and (status.st_mode & 0o077 or status.st_uid not in (os.geteuid(), folder.st_uid)):
            return None
        return stream.readall()
