# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic and the table of the benchmark."""

from __future__ import annotations

import pytest

from bench.figures import Goal, Row, faster, growth, median, over_mark, shown, slower, spread, table


@pytest.mark.parametrize(
    ("values", "middle"), [([3.0], 3.0), ([1.0, 9.0, 2.0], 2.0), ([4.0, 1.0, 2.0, 3.0], 2.5), ([5, 1, 4, 2, 3], 3)]
)
def test_median(values: list[float], middle: float) -> None:
    assert median(values) == middle


def test_a_median_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        median([])


def test_growth_is_by_medians_and_not_by_outliers() -> None:
    assert growth([1.0, 1.0, 50.0], [1.1, 1.2, 1.2]) == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("goal", "ratio", "ours", "met"),
    [
        (Goal("at most", 1.5), 1.5, 9, "yes"),
        (Goal("at most", 1.5), 1.51, 0, "no"),
        (Goal("at most", 1.25, tolerated=1.6), 1.25, 0, "yes"),
        (Goal("at most", 1.25, tolerated=1.6), 1.6, 0, "within 1.6"),
        (Goal("at most", 1.25, tolerated=1.6), 1.61, 0, "no"),
        (Goal("at least", 50), 50, 0, "yes"),
        (Goal("at least", 50), 49.9, 0, "no"),
        (Goal("at most", 5, "labctl"), None, 5, "yes"),
        (Goal("at most", 5, "labctl"), 0.1, 5.1, "no"),
        (Goal("at most", 2), None, 1, "no"),
    ],
)
def test_a_goal_is_met_by_the_right_figure(goal: Goal, ratio: float | None, ours: float, met: str) -> None:
    assert goal.met(ratio, ours) == met


def test_ratios_say_how_much_slower_or_faster() -> None:
    assert slower("x", "s", "shell", 20.0, 30.0, Goal("at most", 1.6)).ratio == 1.5
    assert faster("x", "s", "Ansible", 30.0, 0.5, Goal("at least", 50)).ratio == 60


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0123, "0.012"), (0.37, "0.37"), (1.468, "1.47"), (22.09, "22.1"), (512.4, "512"), (1234.5, "1234")],
)
def test_figures_have_the_digits_that_count(value: float, text: str) -> None:
    assert shown(value) == text


def test_the_table_is_complete() -> None:
    rows = [
        slower("Hadoop ready", "s", "shell script", 22.09, 32.47, Goal("at most", 1.25, tolerated=1.6)),
        Row("no-op", "s", "none", None, 0.37, Goal("at most", 1, "labctl")),
        faster("no-op", "s", "mitogen", 3.0, 0.5, Goal("at least", 10)),
    ]
    assert table(rows) == (
        "| what | baseline | labctl | ratio | goal | met |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| Hadoop ready, s | 22.1 (shell script) | 32.5 | 1.47x | at most 1.25x, or 1.6x | within 1.6 |\n"
        "| no-op, s | none | 0.37 |  | at most 1 | yes |\n"
        "| no-op, s | 3.00 (mitogen) | 0.50 | 6.00x | at least 10x | no |"
    )


def test_the_spread_names_least_median_and_most() -> None:
    assert spread({"a, s": [3.0, 1.0, 2.0]}).splitlines()[-1] == "| a, s | 1.00 | 2.00 | 3.00 | 3 |"


def test_a_baseline_may_take_its_mark_and_no_more() -> None:
    assert over_mark("shell", 17.0, 17.0) == ""
    assert over_mark("shell", 17.1, 17.0) == "the baseline 'shell' took 17.1, its mark is 17.0"
