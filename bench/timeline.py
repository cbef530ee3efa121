# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a run's seconds go, from its own record and events. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WIDTH = 48


def spans(record: Mapping[str, Any], events: Sequence[Sequence[Any]]) -> list[tuple[str, float, float]]:
    """(what, first second, last second) of the steps of a run: hosts and artefacts, each task, the final look.

    A task lasts from when the first host begins it to the last result of it; hosts go at their own pace, so tasks
    overlap.
    """
    timings = record.get("timings", {})
    found = [
        (name, 0.0, float(timings[name]))
        for name in timings
        if name in ("hosts", "ansible") or name.startswith("artefact")
    ]
    begun: dict[str, float] = {}
    ended: dict[str, float] = {}
    for at, kind, subject, text in events:
        if kind == "task":
            begun.setdefault(subject, at)
        elif kind == "result":
            name = str(text).split(": ", 1)[-1]
            ended[name] = max(at, ended.get(name, 0.0))
    phases = [at for at, kind, _, text in events if kind == "phase" and str(text).startswith("converging")]
    if phases and begun:
        found.append(("Ansible starts and reads the inventory", phases[0], min(begun.values())))
    found += [(name, at, max(at, ended.get(name, at))) for name, at in begun.items()]
    if "verify" in timings and "all" in timings:
        found.append(("the final look at every host", timings["all"] - timings["verify"], timings["all"]))
    return found


def timeline(record: Mapping[str, Any], events: Sequence[Sequence[Any]]) -> str:
    """The spans as a text chart, in the order in which they begin."""
    rows = spans(record, events)
    whole = max([float(record.get("timings", {}).get("all", 0)), *(end for _, _, end in rows)])
    widest = max(len(name) for name, _, _ in rows)
    lines = []
    for name, start, end in sorted(rows, key=lambda row: (row[1], row[2])):
        left = round(start / whole * WIDTH)
        length = max(1, round(end / whole * WIDTH) - left)
        bar = " " * left + "#" * length
        lines.append(f"{name:<{widest}}  {start:5.1f} - {end:5.1f}  |{bar:<{WIDTH}}|")
    return "\n".join(lines)
