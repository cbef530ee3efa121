# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab of one nspawn host, made by the real provider once for all integration tests of modules."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.lab import load_lab
from ansible_collections.labctl.stacks.plugins.module_utils.providers import provider_for
from integration.one_host import OneHost


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneHost]:
    """The host. Removed at the end, with everything of its lab."""
    if os.geteuid() != 0:
        pytest.skip("makes an nspawn host, which needs root")
    # A short path: ssh's control sockets have a limit, and pytest keeps its own folders after the run.
    with tempfile.TemporaryDirectory(prefix="labctl-test-") as name:
        folder = Path(name)
        spec = folder / "lab.yml"
        spec.write_text("name: modules-test\nprovider: nspawn\nhosts:\n  box: {}\nstacks: []\n")
        inventory = folder / "nspawn.yml"
        inventory.write_text("plugin: labctl.stacks.nspawn\nlab: lab.yml\n")
        lab = load_lab(spec)
        provider = provider_for(lab)
        try:
            provider.preflight()
            provider.apply()
            yield OneHost("box", inventory, lab.lab_dir, tmp_path_factory.mktemp("plays"))
        finally:
            provider.destroy()
