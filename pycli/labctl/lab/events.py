# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a long command tells its caller while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["phase", "host", "artifact", "task", "result", "failure", "done", "output", "warning", "why"]


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    ``subject`` is the phase, host, artefact or task it is about, ``text`` what happened to it. ``done`` and
    ``total`` are bytes where an artefact arrives, and 0 where that is not known.
    """

    kind: Kind
    subject: str
    text: str = ""
    done: int = 0
    total: int = 0


Listener = Callable[[Event], None]


def deaf(event: Event) -> None:
    """A listener for callers who do not want to know."""
