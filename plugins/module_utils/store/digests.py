# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: digests as the catalogue writes them: ``sha256:<hex>``, ``sha512:<hex>``, ``unpinned``."""

from __future__ import annotations

import re

UNPINNED = "unpinned"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}|" + UNPINNED)


def is_digest(text: object) -> bool:
    """Whether a value of the catalogue is a digest, or says that none is known."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None
