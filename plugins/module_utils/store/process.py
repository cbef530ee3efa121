# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: long programs of others (compilers, mmdebstrap), which never outlive us."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import PreflightError

#: Looks at what a program has done so far.
Watch = Callable[[], object] | None

POLL = 0.2


def run(
    argv: list[str],
    log: Path,
    *,
    cwd: Path,
    env: Mapping[str, str],
    stall: float = 0.0,
    watch: Watch = None,
    identity: Mapping[str, Any] | None = None,
) -> int:
    """Run a program in a process group of its own, its output to ``log``; its exit code.

    It stays in our session, where whoever interrupts us finds it (``lab/interrupt.py`` has the steps' programs ended).
    However we leave, by an interrupt too, the program and all it started have ended; when we are killed, the kernel
    ends the program. ``watch`` is called a few times a second; when its answer has not changed for ``stall`` seconds
    (0: no matter how long), PreflightError is raised. ``identity`` is whom to run it as, for Popen.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_dies_with_us(), *argv],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
            **(identity or {}),
        )
        with _ended(process):
            last, since = None, time.monotonic()
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(POLL)
                seen = watch() if watch else None
                if seen != last:
                    last, since = seen, time.monotonic()
                elif stall and time.monotonic() - since > stall:
                    raise PreflightError(
                        f"{Path(argv[0]).name} did nothing for {stall:.0f} s",
                        hint="Check the network and the mirror it asks, then try again.",
                    )


def _dies_with_us() -> list[str]:
    """A prefix that has the kernel end a program when we are killed without a chance to; util-linux has it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever happens inside, the process group has ended after it, children of the program included."""
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
                if number == signal.SIGTERM:
                    _wait_for_group(process.pid)


def _wait_for_group(group: int, seconds: float = 2.0) -> None:
    """Give what a program started a moment to end as well, before it is killed."""
    deadline = time.monotonic() + seconds
    with contextlib.suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.02)
