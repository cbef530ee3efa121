# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: running and finding the machine's own programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from ..errors import ProviderError

#: An unprivileged user's PATH on Debian lacks the sbin folders, where ip and iptables are.
SEARCH_PATH = os.pathsep.join(
    [os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"]
)


def find(program: str) -> str | None:
    """Where a program is, also when the caller's PATH lacks the sbin folders."""
    return shutil.which(program, path=SEARCH_PATH)


def environment() -> dict[str, str]:
    """A small environment for what we start: messages we can read, and nothing of the caller's secrets."""
    return {"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8"}


def run(argv: list[str], *, stdin: str = "", check: bool = True, cwd: Path | None = None, timeout: float = 60) -> str:
    """Run a program to its end and return what it printed.

    Raises ProviderError with the program's last words when it fails and ``check`` is set, when it is missing, and
    when it takes longer than ``timeout`` seconds. Its own process group keeps a Ctrl-C at the terminal from
    tearing it apart half-way; the interrupt reaches us, between two steps.
    """
    try:
        done = subprocess.run(
            [find(argv[0]) or argv[0], *argv[1:]],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            timeout=timeout,
            env=environment(),
            process_group=0,
        )
    except FileNotFoundError as exc:
        raise ProviderError(f"{argv[0]} is not installed", hint="labctl doctor names what is missing") from exc
    except subprocess.TimeoutExpired as exc:
        raise ProviderError(f"{' '.join(argv[:3])} did not end within {timeout:g} s") from exc
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise ProviderError(f"{' '.join(argv[:4])} failed: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout
