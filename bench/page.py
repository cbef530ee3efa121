# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page that a benchmark leaves: docs/performance.md. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.figures import Row, spread, table

HEAD = """\
# Performance

Written by `make bench` (bench/run.py), which measures labctl and its opponents in turn on one machine. Figures are
whole commands as a user types them, on real systemd-nspawn hosts with Hadoop's daemons running. A goal that is missed
says so.
"""


@dataclass
class Page:
    """All that a run found out."""

    heading: str
    rows: Sequence[Row]
    about: Sequence[str] = ()
    timeline: str = ""
    samples: dict[str, list[float]] = field(default_factory=dict)
    problems: Sequence[str] = ()


def text(page: Page) -> str:
    """The page in Markdown."""
    parts = [HEAD, page.heading, table(page.rows)]
    if page.problems:
        parts.append("Not to be believed:\n" + "".join(f"\n- {problem}" for problem in page.problems))
    if page.about:
        parts += ["## What each row is", *page.about]
    if page.timeline:
        parts += [
            "## Where the seconds of a cold `up` go",
            "From the record of one of its runs. Hosts, artefacts and the import of Ansible overlap; then each host"
            " goes through the tasks at its own pace, so that tasks overlap too. Seconds since the run began:",
            f"```text\n{page.timeline}\n```",
        ]
    if page.samples:
        parts += ["## Every series", spread(page.samples)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"
