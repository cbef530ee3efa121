# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One set of packages gives one image, byte for byte: built twice for real, in two caches."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.providers.base import no_progress
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import image, image_tar
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="builds an image, which needs root")]


def test_a_locked_image_is_built_again_from_a_mirror_of_its_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With a JRE: its store of certificates is the one file that Debian's packages make anew each time.
    recipe = image.recipe_for("debian-13", ("hadoop",))
    monkeypatch.setenv("LABCTL_CACHE_DIR", str(tmp_path / "one"))
    first = image.ensure(recipe, None, no_progress)
    assert image_tar.name_of(image.path_of(first.digest)) == (first.digest, first.size)

    monkeypatch.setenv("LABCTL_MIRRORS", str(Store().root))
    monkeypatch.setenv("LABCTL_CACHE_DIR", str(tmp_path / "another cache, elsewhere"))
    said: list[str] = []
    # A locked image that came out different would be refused.
    assert image.ensure(recipe, first, lambda host, step: said.append(step)) == first
    assert any("files from" in step for step in said)
    assert not any("package index of" in step for step in said)
    root = image.path_of(first.digest)
    assert not list((root / "etc/ssh").glob("ssh_host_*"))
    assert "trusted=yes" not in (root / "etc/apt/sources.list").read_text()
