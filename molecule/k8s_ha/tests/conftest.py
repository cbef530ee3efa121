# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

SCENARIO = Path(__file__).resolve().parent.parent
SSH_CONFIG = SCENARIO / ".labctl" / "ssh" / "config"
MASTERS = ("master1", "master2", "master3")


def lab_host(name: str) -> Host:
    return testinfra.get_host(f"ssh://{name}?ssh_config={SSH_CONFIG}")


@pytest.fixture
def other(master: Host) -> Host:
    """Another master than the one a test is about."""
    return lab_host("master2" if master.check_output("hostname") == "master1" else "master1")


@pytest.fixture
def worker() -> Host:
    return lab_host("worker")


@pytest.fixture(params=MASTERS)
def master(request: pytest.FixtureRequest) -> Host:
    return lab_host(request.param)


@pytest.fixture(params=[*MASTERS, "worker"])
def host(request: pytest.FixtureRequest) -> Host:
    return lab_host(request.param)
