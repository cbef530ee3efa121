# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An isolated home and folder for each command, and what it wrote."""

from __future__ import annotations

import io
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from labctl.cli import run
from labctl.lab import status
from unit.cli.done import LAB, Done
from unit.lab import doubles


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, of nobody's else."""
    for name in ("SUDO_UID", "NO_COLOR", "LABCTL_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TERM", "dumb")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> doubles.World:
    """Doubles for hosts, artefacts and Ansible; every port answers."""
    monkeypatch.setattr(status, "_open", lambda address, port: True)
    return doubles.install(monkeypatch)


@pytest.fixture
def lab(home: Path) -> Path:
    """A folder with a lab file of the user's own."""
    (home / "lab.yml").write_text(LAB, encoding="utf-8")
    return home


@pytest.fixture
def labctl(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Done]]:
    """Runs a command line in this process, without a terminal."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def call(*argv: str) -> Done:
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            patch.setattr(sys, "stdin", io.StringIO())
            code = run(list(argv))
        return Done(code, _steady(out.getvalue(), home), _steady(err.getvalue(), home))

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _steady(text: str, home: Path) -> str:
    text = re.sub(r"^\d\d:\d\d:\d\d ", "TIME ", text, flags=re.MULTILINE)
    text = re.sub(r"\d+\.\d s\b", "N s", text)
    return text.replace(str(home), "HERE")
