# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every entry of the catalogue: whole for each architecture, and its parts fit each other."""

from __future__ import annotations

import re

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue, names, versions
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.golang import GoSource
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.image import ImageSource

ENTRIES = [(name, version) for name in names() for version in versions(name)]
#: One toolchain, so that a machine fetches one and the build cache serves all.
TOOLCHAIN = "go1.26.8"


@pytest.mark.parametrize(("name", "version"), ENTRIES)
def test_entry_is_whole(name: str, version: str) -> None:
    for arch in ("x86_64", "aarch64"):
        entry = catalogue(name, version, arch=arch)
        keys = [source.key for source in entry.sources]
        assert len(set(keys)) == len(keys)
        for source in entry.sources:
            pinned = source.entries()
            for what, path in entry.provides.items() if pinned else ():
                assert any(f"{one.path}/".startswith(f"{path}/") for one in pinned or ()), f"{what}: no {path}"
            if isinstance(source, GoSource):
                _check_lock(source)
            if isinstance(source, ImageSource):
                _check_parts(source)


def _check_lock(source: GoSource) -> None:
    """The lock was written from this entry."""
    assert source.toolchain == TOOLCHAIN
    text = (source.lock / "go.mod").read_text()
    for module, version in source.require.items():
        assert re.search(rf"^(require |\t){re.escape(module)} {re.escape(version)}$", text, re.MULTILINE), module
    for old, new in source.replace:
        assert f"{old} => {new}" in text
    for module, folder in source.stub_modules().items():
        assert f"{module} => ./stubs/{folder}" in text
    assert not re.search(r"=> \.\.?/(?!stubs/)", text)


def _check_parts(source: ImageSource) -> None:
    """The image takes files that its parts provide."""
    for part in source.others():
        entry = catalogue(part.artifact, part.version)
        for path, _ in part.files:
            assert path in entry.provides.values(), f"{part.artifact} does not provide {path}"
    assert (source.pull == "") != (source.parts == ())
