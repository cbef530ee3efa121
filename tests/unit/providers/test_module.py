# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host module reports; the provider is a double that only remembers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.providers.base import (
    Change,
    Host,
    Progress,
    Provider,
    no_progress,
)
from ansible_collections.labctl.stacks.plugins.module_utils.providers.module import ensure


class Remembering(Provider):
    """A provider whose hosts are a dictionary."""

    running = False
    calls: list[str]

    def preflight(self) -> None:
        self.calls.append("preflight")

    def plan(self) -> list[Change]:
        return [Change("a", "keep" if self.running else "create", "")]

    def apply(self, progress: Progress = no_progress) -> list[Host]:
        self.calls.append("apply")
        self.running = True
        return self.hosts()

    def hosts(self) -> list[Host]:
        return [Host("a", "10.1.2.2" if self.running else "", "running" if self.running else "absent")]

    def remove(self, names: Collection[str], progress: Progress = no_progress) -> list[str]:
        return []

    def destroy(self, progress: Progress = no_progress) -> list[str]:
        self.calls.append("destroy")
        found, self.running = self.running, False
        return ["host a"] if found else []


@pytest.fixture
def provider(make_lab: Callable[..., Lab], machine: Path) -> Remembering:
    double = Remembering(make_lab())
    double.calls = []
    return double


def test_present_changes_once(provider: Remembering) -> None:
    first = ensure(provider, "present", check=False)
    assert first["changed"]
    assert first["hosts"] == [{"name": "a", "address": "10.1.2.2", "state": "running"}]
    assert first["diff"] == {"before": "a: absent\n", "after": "a: running\n"}
    assert provider.calls == ["preflight", "apply"]
    assert not ensure(provider, "present", check=False)["changed"]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_check_mode_predicts_and_does_nothing(provider: Remembering, state: str) -> None:
    provider.running = state == "absent"
    predicted = ensure(provider, state, check=True)
    assert predicted["changed"]
    assert provider.calls == []
    real = ensure(provider, state, check=False)
    assert (real["changed"], real["diff"]) == (predicted["changed"], predicted["diff"])
    assert not ensure(provider, state, check=True)["changed"]
