# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a long command shows of its transfers."""

from __future__ import annotations

from labctl.cli.progress import Pace


def test_speed_and_time_left_are_those_of_the_last_seconds() -> None:
    pace = Pace()
    pace.at(0, "download", 100.0)
    assert pace.text(100_000_000) == ""
    for second in range(1, 21):
        pace.at(1_000_000 * second, "download", 100.0 + second)
    assert pace.text(100_000_000) == ", 1.0 MB/s, 1:20 left"
    for second in range(1, 11):
        pace.at(20_000_000 + 4_000_000 * second, "download", 120.0 + second)
    assert pace.text(100_000_000) == ", 4.0 MB/s, 0:10 left"


def test_another_step_and_an_attempt_anew_begin_at_nothing() -> None:
    pace = Pace()
    pace.at(0, "download", 0.0)
    pace.at(5_000_000, "download", 1.0)
    pace.at(0, "download", 2.0)
    assert pace.text(10_000_000) == ""
    pace.at(4_000_000, "unpack", 3.0)
    assert pace.text(10_000_000) == ""
