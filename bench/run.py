# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures labctl against its baselines, turn by turn on one machine, and writes the table of docs/performance.md.

usage: python -m bench.run [--rounds N] [--only CASE,...] [--write FILE]     (root; `make bench` does it all)

Ends with 1 where the table is not to be believed: a baseline was slower than it can be, or did not do what it should.
A goal that is missed stands in the table, and is no error.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench.cases import add, cold, disk, growth, noop, plan, ready, repair, start
from bench.page import Page, text
from bench.session import Session

#: In the order in which they use what is up already: the lab of three grows to eight, and then to sixteen.
CASES: dict[str, tuple[Callable[[Session], None], str]] = {
    "start": (start.measure, start.ABOUT),
    "plan": (plan.measure, plan.ABOUT),
    "ready": (ready.measure, ready.ABOUT),
    "cold": (cold.measure, cold.ABOUT),
    "growth": (growth.measure, growth.ABOUT),
    "noop3": (noop.three, noop.ABOUT),
    "add3": (add.to_three, add.ABOUT),
    "noop8": (noop.eight, noop.ABOUT),
    "repair": (repair.measure, repair.ABOUT),
    "add8": (add.to_eight, add.ABOUT),
    "disk": (disk.measure, disk.ABOUT),
}
TOOLS = ("labctl", "ansible-core", "ansible-runner", "mitogen")


def chosen(only: str) -> list[str]:
    """The cases whose names begin with one of these words; all for none. SystemExit for a word that fits none."""
    words = [word.strip() for word in only.split(",") if word.strip()]
    for word in words:
        if not any(name.startswith(word) for name in CASES):
            raise SystemExit(f"no case {word!r}; known: {', '.join(CASES)}")
    return [name for name in CASES if not words or name.startswith(tuple(words))]


def machine() -> str:
    """What it ran on and with, in a line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    tools = []
    for name in TOOLS:
        try:
            tools.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return (
        f"{os.cpu_count()} CPUs, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}, "
        + ", ".join(tools)
    )


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help=f"cases, or how they begin, of: {', '.join(CASES)}")
    parser.add_argument("--write", type=Path, help="the Markdown file that all of it goes into")
    options = parser.parse_args()
    names = chosen(options.only)
    if os.geteuid() != 0:
        raise SystemExit("bench makes hosts: run it as root")
    # As Ctrl-C does: the labs are removed, whoever ends the bench.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="labctl-bench-") as folder:
        session = Session(Path(folder), options.rounds)
        try:
            for name in names:
                print(f"{name} ({time.monotonic() - began:.0f} s)", flush=True)
                CASES[name][0](session)
        finally:
            session.close()
    page = Page(
        heading=f"Median of {options.rounds} rounds; {machine()}; {datetime.now(UTC):%Y-%m-%d}.",
        rows=session.rows,
        about=list(dict.fromkeys(CASES[name][1] for name in names)),
        timeline=session.timeline,
        samples=session.samples,
        problems=session.problems,
    )
    report = text(page)
    print(f"\n{report}\nmeasured in {time.monotonic() - began:.0f} s\n{json.dumps(session.samples)}")
    for problem in session.problems:
        print(f"not to be believed: {problem}", file=sys.stderr)
    if options.write and not session.problems:
        options.write.write_text(report)
    return 1 if session.problems else 0


if __name__ == "__main__":
    sys.exit(main())
