# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.labctl.stacks.plugins.filter.hadoop_xml import hadoop_xml


def parsed(text: str) -> dict[str, str]:
    root = ET.fromstring(text)  # noqa: S314 - our own output
    return {p.findtext("name", ""): p.findtext("value", "") for p in root.findall("property")}


def test_values_survive_a_real_parser() -> None:
    nasty = {
        "a.<b>": "x & y < z > \"q\" 'p' ]]> --> <!--",
        "text": " leading and trailing ",
        "number": 65536,
        "ratio": 0.5,
        "yes": True,
        "no": False,
        "list": ["a", 1, True],
        "empty": "",
        "template": "{{ lookup('pipe', 'id') }}",
    }
    assert parsed(hadoop_xml(nasty)) == {
        "a.<b>": "x & y < z > \"q\" 'p' ]]> --> <!--",
        "text": " leading and trailing ",
        "number": "65536",
        "ratio": "0.5",
        "yes": "true",
        "no": "false",
        "list": "a,1,true",
        "empty": "",
        "template": "{{ lookup('pipe', 'id') }}",
    }


def test_equal_settings_give_equal_bytes_whatever_their_order() -> None:
    assert hadoop_xml({"b": 1, "a": 2}) == hadoop_xml({"a": 2, "b": 1})


def test_null_takes_a_setting_out() -> None:
    assert parsed(hadoop_xml({"a": None, "b": 1})) == {"b": "1"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": {"b": 1}}, "the value of 'a' is of type dict"),
        ({"a": "nul\0"}, "the value of 'a' holds a character that XML cannot carry"),
        (["a"], "expected a dictionary of properties, got list"),
    ],
)
def test_what_cannot_be_a_configuration_is_refused_by_name(value: object, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        hadoop_xml(value)  # type: ignore[arg-type]
