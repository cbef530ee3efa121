# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store of its own for each test, a mirror, and a registry behind the ``mvn`` double."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store
from unit.store.doubles import QUICK, Mirror, Registry
from unit.store.doubles import mirror as serve


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache" / "store", rules=QUICK)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serve() as served:
        yield served


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    made = Registry(tmp_path, sys.executable)
    monkeypatch.setenv("PATH", f"{made.bin}:{os.environ['PATH']}")
    return made
