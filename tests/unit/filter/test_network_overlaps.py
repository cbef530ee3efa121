# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that are in each other's way."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.labctl.stacks.plugins.filter.network_overlaps import network_overlaps


def test_networks_apart_are_fine() -> None:
    assert network_overlaps({"pods": "10.244.0.0/16", "services": "10.96.0.0/12"}, ["192.0.2.1", "a-name"]) == []


def test_every_overlap_is_told() -> None:
    assert network_overlaps({"pods": "10.0.0.0/8", "services": "10.96.0.0/12"}, ["10.97.0.1"]) == [
        "pods 10.0.0.0/8 overlaps services 10.96.0.0/12",
        "pods 10.0.0.0/8 holds the host 10.97.0.1",
        "services 10.96.0.0/12 holds the host 10.97.0.1",
    ]


def test_what_is_no_network_is_named() -> None:
    with pytest.raises(AnsibleFilterError, match=r"pods: .*10\.0\.0\.300"):
        network_overlaps({"pods": "10.0.0.300/16"})
