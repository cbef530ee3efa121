# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action of k8s_apply hands to its module."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.action.k8s_apply import ActionModule
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError


class Text(str):
    """As Ansible's own strings are."""

    __slots__ = ()


def prepared(**args: Any) -> dict[str, Any]:
    return dict(ActionModule.prepare(ActionModule.__new__(ActionModule), args, {}))


def test_objects_travel_in_base64_and_under_no_other_name() -> None:
    given = [{Text("kind"): Text("ConfigMap"), "data": {"ä": Text("ö"), "n": 1, "b": True, "none": None}}, None]
    made = prepared(role="x", manifests=given)
    assert json.loads(base64.b64decode(made.pop("manifests_b64"))) == [
        {"kind": "ConfigMap", "data": {"ä": "ö", "n": 1, "b": True, "none": None}}
    ]
    assert made == {"role": "x"}


@pytest.mark.parametrize("given", [{}, {"manifests": {"kind": "x"}}, {"manifests": "text"}])
def test_nothing_given_is_not_taken_for_an_empty_list(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="not a list of objects"):
        prepared(role="x", **given)
    assert "manifests_b64" not in prepared(role="x", state="absent", **given)


def test_what_json_has_no_word_for_is_named_by_its_place() -> None:
    with pytest.raises(InputError, match=r"manifests\.0\.data\.at: a date is no JSON value"):
        import datetime

        prepared(manifests=[{"data": {"at": datetime.date(2026, 1, 1)}}])
