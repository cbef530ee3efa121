# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine lacks is all named at once, with its mend."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.providers import provider_for
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import preflight

MIB = 2**20


def test_everything_missing_is_named_at_once(
    make_lab: Callable[..., Lab], machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(preflight, "find", lambda program: None if program != "ssh" else "/usr/bin/ssh")
    monkeypatch.setattr(preflight, "available_memory", lambda text: 100 * MIB)
    monkeypatch.setattr(preflight, "free_disk", lambda path: (1, 10 * MIB))
    monkeypatch.setattr(preflight, "KEYRINGS", ())
    with pytest.raises(PreflightError) as caught:
        provider_for(make_lab()).preflight()
    mends = " ".join(finding.mend for finding in caught.value.findings)
    for package in (
        "systemd-container",
        "mmdebstrap",
        "iproute2",
        "iptables",
        "openssh-client",
        "debian-archive-keyring",
    ):
        assert f"apt-get install {package}" in mends
    places = [finding.where for finding in caught.value.findings]
    assert "program systemd-nspawn" in places
    assert "program ssh" not in places
    assert "memory" in places
    assert any("MiB free" in finding.what and finding.where != "memory" for finding in caught.value.findings)
    assert not machine.exists(), "preflight touches nothing"


def test_without_root_nothing_else_is_said(
    make_lab: Callable[..., Lab], machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for action in ("preflight", "apply", "destroy"):
        with pytest.raises(PreflightError) as caught:
            getattr(provider_for(make_lab()), action)()
        assert [finding.mend for finding in caught.value.findings] == ["run the same command with sudo"]


@pytest.mark.parametrize(
    ("limits", "available", "enough"),
    [
        ([1024 * MIB, 1024 * MIB], 2048 * MIB, True),
        ([1024 * MIB, 1025 * MIB], 2048 * MIB, False),
        ([None, None], 512 * MIB, True),
        ([None, None, None], 512 * MIB, False),
        ([], 0, True),
    ],
)
def test_memory_is_the_sum_of_limits_or_a_share_per_host(
    limits: list[int | None], available: int, enough: bool
) -> None:
    assert (preflight.memory(limits, available) == []) is enough


def test_paths_on_one_file_system_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "free_disk", lambda path: (1, 100 * MIB))
    assert preflight.disk({Path("/a"): 60 * MIB, Path("/b"): 30 * MIB}) == []
    assert len(preflight.disk({Path("/a"): 60 * MIB, Path("/b"): 60 * MIB})) == 1


def test_the_file_system_of_a_path_is_that_of_the_nearest_mount() -> None:
    text = (
        "1 0 0:1 / / rw - overlay overlay rw\n"
        "2 1 8:1 / /var/lib/labctl rw - ext4 /dev/a rw\n"
        "3 1 0:2 / /var/lib/lab rw - tmpfs t rw\n"
    )
    assert preflight.file_system_of(Path("/var/lib/labctl/nspawn"), text) == "ext4"
    assert preflight.overlay_support(Path("/var/lib/labctl"), text) == []
    assert "overlay" in preflight.overlay_support(Path("/srv"), text)[0].what


def test_available_memory_is_read_in_bytes() -> None:
    assert preflight.available_memory("MemTotal: 100 kB\nMemFree: 20 kB\nMemAvailable:   50 kB\n") == 51200
