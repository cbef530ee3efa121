# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that exist already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.providers import provider_for, ssh

LAB_YML = """\
name: there
provider: static
hosts:
  head: {address: 127.0.0.1, vars: {ansible_user: admin, ansible_port: 2222}}
  worker1: {address: localhost}
"""


def test_hosts_have_their_own_address_and_user(make_lab: Callable[..., Lab]) -> None:
    head, worker = provider_for(make_lab(LAB_YML)).hosts()
    assert (head.address, head.state) == ("127.0.0.1", "running")
    assert head.variables["ansible_user"] == "admin"
    assert worker.variables["ansible_user"] == "root"
    assert worker.variables["ansible_host"] == "localhost"
    assert worker.variables["lab_address"] in ("127.0.0.1", "::1"), "firewalls take addresses, not names"
    assert head.variables["lab_controller_addresses"] == ["127.0.0.1"]
    assert "labctl_store" not in head.variables


def test_apply_writes_a_way_to_them_and_destroy_removes_only_that(
    make_lab: Callable[..., Lab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "CONTROL_ROOT", tmp_path / "run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    lab = make_lab(LAB_YML)
    provider = provider_for(lab)
    provider.preflight()
    assert {change.action for change in provider.plan()} == {"keep"}
    provider.apply()
    config = (lab.lab_dir / "ssh" / "config").read_text()
    assert 'Host head 127.0.0.1\n  HostName 127.0.0.1\n  User "admin"\n  Port "2222"\n' in config
    (lab.lab_dir / "runs").mkdir()
    assert provider.destroy() == []
    assert provider.destroy() == []
    assert not (lab.lab_dir / "ssh").exists()
    assert (lab.lab_dir / "runs").is_dir()
