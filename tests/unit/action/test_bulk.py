# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bulk modules' actions do on the controller."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.plugin_utils.bulk import digest_path, store_line, with_encoded_content


def test_content_travels_in_base64_and_under_no_other_name() -> None:
    (entry,) = with_encoded_content([{"path": "/a", "content": "Grüße\n"}], "path", required=True)
    assert base64.b64decode(entry.pop("content_b64")).decode() == "Grüße\n"
    assert entry == {"path": "/a"}


def test_the_tasks_own_options_are_left_as_they_were() -> None:
    given = [{"path": "/a", "content": ""}]
    assert with_encoded_content(given, "path", required=True) == [{"path": "/a", "content_b64": ""}]
    assert given == [{"path": "/a", "content": ""}]


@pytest.mark.parametrize(
    ("content", "kind"),
    [({"a": 1}, "a dictionary"), (["a"], "a list"), (1, "a number"), (True, "a boolean"), (None, "empty (null)")],
)
def test_what_is_no_string_is_refused_by_its_path(content: Any, kind: str) -> None:
    with pytest.raises(InputError) as caught:
        with_encoded_content([{"path": "/etc/a", "content": content}], "path", required=True)
    assert str(caught.value) == f"/etc/a: content is {kind}, not a string"
    assert "to_nice_yaml" in caught.value.hint


def test_missing_content_is_refused_where_it_is_required() -> None:
    with pytest.raises(InputError, match="/etc/a: content is missing"):
        with_encoded_content([{"path": "/etc/a"}], "path", required=True)
    assert with_encoded_content([{"name": "a"}], "name", required=False) == [{"name": "a"}]


def test_a_digest_is_private_replaced_and_forgotten_with_its_folders(tmp_path: Path) -> None:
    path = digest_path(tmp_path / "lab", "worker1", "hdfs")
    assert path == tmp_path / "lab/manifests/worker1/hdfs.sha256"
    store_line(path, "00ff")
    store_line(path, "11ff")
    assert path.read_text() == "11ff\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]
    store_line(path, "")
    store_line(path, "")
    assert not (tmp_path / "lab/manifests").exists()


@pytest.mark.parametrize("name", ["../../etc", "/etc/passwd", "..", "a/b"])
def test_a_hosts_name_cannot_leave_the_lab_folder(tmp_path: Path, name: str) -> None:
    path = digest_path(tmp_path, name, name)
    assert path.parent.parent == tmp_path / "manifests"
    assert ".." not in path.parts
