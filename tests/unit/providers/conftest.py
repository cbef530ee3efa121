# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab that stands in a temporary folder, and a machine state folder beside it: nothing of the machine is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab, load_lab
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import state

LAB_YML = """\
name: demo
provider: nspawn
hosts:
  head: {vars: {motto: "{{ 1 + 1 }}"}}
  worker: {count: 2}
vars: {greeting: "{{ lookup('pipe', 'id') }}"}
"""


@pytest.fixture
def make_lab(tmp_path: Path) -> Callable[..., Lab]:
    """Writes a lab file and loads it."""

    def make(text: str = LAB_YML, folder: str = "lab") -> Lab:
        spec = tmp_path / folder / "lab.yml"
        spec.parent.mkdir(exist_ok=True)
        spec.write_text(text, encoding="utf-8")
        return load_lab(spec)

    return make


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The nspawn provider's state folder of a machine that has nothing yet."""
    root = tmp_path / "machine"
    monkeypatch.setattr(state, "nspawn_root", lambda: root)
    monkeypatch.setenv("LABCTL_CACHE_DIR", str(tmp_path / "cache"))
    return root
