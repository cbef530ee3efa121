# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic and the text of a benchmark's results. Pure: nothing is measured or written here."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

COLUMNS = ("what", "baseline", "labctl", "ratio", "goal", "met")


@dataclass(frozen=True)
class Goal:
    """What a row must reach: ``at most`` or ``at least`` this number, of the ratio or of labctl's own figure.

    ``tolerated`` is a weaker bound that the goal may be missed by without being a failure.
    """

    sense: Literal["at most", "at least"]
    number: float
    of: Literal["ratio", "labctl"] = "ratio"
    tolerated: float | None = None

    def met(self, ratio: float | None, ours: float) -> str:
        """``yes``, ``within N`` for the weaker bound, or ``no``."""
        value = ratio if self.of == "ratio" else ours
        if value is None:
            return "no"
        if self._holds(value, self.number):
            return "yes"
        if self.tolerated is not None and self._holds(value, self.tolerated):
            return f"within {self.tolerated:g}"
        return "no"

    def _holds(self, value: float, bound: float) -> bool:
        return value <= bound if self.sense == "at most" else value >= bound

    def __str__(self) -> str:
        text = f"{self.sense} {self.number:g}" + ("x" if self.of == "ratio" else "")
        return text if self.tolerated is None else f"{text}, or {self.tolerated:g}x"


@dataclass(frozen=True)
class Row:
    """A line of the table. Figures are in ``unit``; ``theirs`` is None where there is nothing to compare with.

    ``ratio`` is ours by theirs, or theirs by ours where the goal is to be so many times faster.
    """

    what: str
    unit: str
    baseline: str
    theirs: float | None
    ours: float
    goal: Goal
    ratio: float | None = None

    @property
    def met(self) -> str:
        """Whether the goal is reached, as the table says it."""
        return self.goal.met(self.ratio, self.ours)

    def cells(self) -> tuple[str, ...]:
        """The line's cells, in the order of :data:`COLUMNS`."""
        theirs = self.baseline if self.theirs is None else f"{shown(self.theirs)} ({self.baseline})"
        ratio = "" if self.ratio is None else f"{shown(self.ratio)}x"
        return f"{self.what}, {self.unit}", theirs, shown(self.ours), ratio, str(self.goal), self.met


def slower(what: str, unit: str, baseline: str, theirs: float, ours: float, goal: Goal) -> Row:
    """A row whose ratio is what we take by what the baseline takes."""
    return Row(what, unit, baseline, theirs, ours, goal, ours / theirs)


def faster(what: str, unit: str, baseline: str, theirs: float, ours: float, goal: Goal) -> Row:
    """A row whose ratio is how many times faster we are than the baseline."""
    return Row(what, unit, baseline, theirs, ours, goal, theirs / ours)


def median(values: Sequence[float]) -> float:
    """The middle value; ValueError for none."""
    if not values:
        raise ValueError("nothing was measured")
    return statistics.median(values)


def growth(small: Sequence[float], large: Sequence[float]) -> float:
    """How many times the median of ``large`` is that of ``small``."""
    return median(large) / median(small)


def shown(value: float) -> str:
    """A figure with three digits that count."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def spread(samples: dict[str, list[float]]) -> str:
    """Every series that was measured, as a Markdown table of its smallest, middle and largest value."""
    lines = ["| series | least | median | most | of |", "|---|---|---|---|---|"]
    for name, values in samples.items():
        cells = (name, shown(min(values)), shown(median(values)), shown(max(values)), str(len(values)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def over_mark(name: str, value: float, mark: float) -> str:
    """What to complain of where a baseline is slower than it is known to be able to; nothing where it is not."""
    return f"the baseline {name!r} took {shown(value)}, its mark is {shown(mark)}" if value > mark else ""
