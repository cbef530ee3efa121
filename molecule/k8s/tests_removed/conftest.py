# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

SSH_CONFIG = Path(__file__).resolve().parent.parent / ".labctl" / "ssh" / "config"


def lab_host(name: str) -> Host:
    return testinfra.get_host(f"ssh://{name}?ssh_config={SSH_CONFIG}")


@pytest.fixture
def master() -> Host:
    return lab_host("master")


@pytest.fixture(params=["worker1", "worker2"])
def worker(request: pytest.FixtureRequest) -> Host:
    return lab_host(request.param)


@pytest.fixture(params=["master", "worker1", "worker2"])
def host(request: pytest.FixtureRequest) -> Host:
    return lab_host(request.param)
