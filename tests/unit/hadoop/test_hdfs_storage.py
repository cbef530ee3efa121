# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.modules.hdfs_storage import StorageError, check


def stored(storage: Path, text: str) -> Path:
    (storage / "current").mkdir(parents=True)
    (storage / "current" / "VERSION").write_text(text)
    return storage


def test_storage_of_this_cluster_is_in_use(tmp_path: Path) -> None:
    storage = stored(tmp_path, "#Sun Nov 22\nnamespaceID=1\nclusterID=CID-demo\ncTime=0\n")
    assert check(storage, "CID-demo") is True


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_storage_without_data_may_be_formatted(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    assert check(tmp_path / name, "CID-demo") is False


def test_storage_of_another_cluster_is_refused_with_both_names_and_the_mend(tmp_path: Path) -> None:
    storage = stored(tmp_path, "clusterID=CID-theirs\n")
    with pytest.raises(StorageError, match="belongs to the cluster CID-theirs, not to CID-ours; move it away"):
        check(storage, "CID-ours")


def test_damaged_storage_is_refused_rather_than_formatted(tmp_path: Path) -> None:
    (tmp_path / "current").mkdir()
    (tmp_path / "current" / "fsimage_0000000000000000000").write_bytes(b"names")
    with pytest.raises(StorageError, match="holds data without a VERSION file"):
        check(tmp_path, "CID-demo")
    (tmp_path / "current" / "VERSION").write_text("namespaceID=1\n")
    with pytest.raises(StorageError, match="names no clusterID"):
        check(tmp_path, "CID-demo")
