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
def store() -> Host:
    return lab_host("store")


@pytest.fixture
def one() -> Host:
    return lab_host("client1")


@pytest.fixture
def two() -> Host:
    return lab_host("client2")


@pytest.fixture(params=["client1", "client2"])
def client(request: pytest.FixtureRequest) -> Host:
    return lab_host(request.param)


@pytest.fixture(params=["store", "client1", "client2"])
def host(request: pytest.FixtureRequest) -> Host:
    return lab_host(request.param)
