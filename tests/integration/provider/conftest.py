# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labs of real nspawn hosts, removed at the end whatever happened."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import LabError
from integration.provider.real_lab import RealLab

MakeLab = Callable[..., RealLab]


def _factory() -> Iterator[MakeLab]:
    if os.geteuid() != 0:
        pytest.skip("makes nspawn hosts, which needs root")
    made: list[RealLab] = []

    def make(hosts: str = "{one: {}}", provider: str = "nspawn", name: str = "") -> RealLab:
        lab = RealLab(Path(tempfile.mkdtemp(prefix="labctl-test-")))
        made.append(lab)
        lab.write(f"name: {name or 'pt-' + secrets.token_hex(3)}\nprovider: {provider}\nhosts: {hosts}\nstacks: []\n")
        return lab

    yield make
    for lab in made:
        try:
            lab.provider.destroy()
        except LabError as exc:
            pytest.fail(f"a test's lab could not be removed: {exc.report}")
        finally:
            shutil.rmtree(lab.folder)


@pytest.fixture
def make_real_lab() -> Iterator[MakeLab]:
    """Makes labs for one test."""
    yield from _factory()


@pytest.fixture(scope="module")
def pair() -> Iterator[RealLab]:
    """One running lab of two hosts for all tests of a module."""
    factory = _factory()
    lab = next(factory)("{head: {memory: 256MiB, cpus: 0.5, vars: {a: 1}}, worker: {}}")
    lab.up()
    yield lab
    next(factory, None)
