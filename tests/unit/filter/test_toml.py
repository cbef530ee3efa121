# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dictionaries as TOML, read back by Python's own reader."""

from __future__ import annotations

import tomllib

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.labctl.stacks.plugins.filter.toml import toml

SETTINGS = {"version": 3, "plugins": {"io.containerd.cri.v1.images": {"snapshotter": "overlayfs", "a": [True, 1, "x"]}}}


def test_it_reads_back_as_it_was() -> None:
    assert tomllib.loads(toml(SETTINGS)) == SETTINGS


def test_equal_settings_are_equal_bytes_and_null_is_left_out() -> None:
    assert toml({"b": 1, "a": 2, "c": None}) == toml({"a": 2, "b": 1}) == "a = 2\nb = 1\n"


@pytest.mark.parametrize("value", ["text", {"a": object()}])
def test_what_toml_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(AnsibleFilterError, match="toml"):
        toml(value)
