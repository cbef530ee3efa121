# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `labctl up` tells of artefacts, as the benchmark reads it."""

from __future__ import annotations

import pytest

from bench.cases.disk import fetched


def test_artefacts_from_the_store_came_from_nowhere() -> None:
    assert fetched("20:29:01 hosts: making hosts\n20:29:02 artefact hadoop: 3.5.0 from store\n") == []


def test_artefacts_from_elsewhere_are_counted() -> None:
    told = "20:29:02 artefact hadoop: 3.5.0 from store\n20:29:03 artefact etcd: 3.6.14 from maven\n"
    assert fetched(told) == ["artefact etcd: 3.6.14 from maven"]


def test_silence_is_not_taken_for_a_warm_store() -> None:
    with pytest.raises(LookupError):
        fetched("20:29:01 hosts: making hosts\n")
