# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: digests as the catalogue writes them: ``sha256:<hex>``, ``sha512:<hex>``, ``unpinned``."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

UNPINNED = "unpinned"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}|" + UNPINNED)


def is_digest(text: object) -> bool:
    """Whether a value of the catalogue is a digest, or says that none is known."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def file_digest(path: Path, like: str) -> str:
    """A file's digest of the same algorithm as ``like``, sha256 where that is unpinned. Raises OSError."""
    algorithm = "sha256" if like == UNPINNED else like.partition(":")[0]
    with path.open("rb") as stream:
        return f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}"
