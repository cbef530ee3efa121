# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.labctl.stacks.plugins.modules.hadoop_smoke import (
    TOKEN,
    SmokeError,
    compare,
    entries,
    parse_counts,
    spread,
)


def test_counts_of_several_parts_are_gathered() -> None:
    assert parse_counts([b"a\t1\nb\t22\n", b'"quoted,"\t3\n', b""]) == {"a": 1, "b": 22, '"quoted,"': 3}


def test_words_are_split_as_java_splits_them() -> None:
    # A vertical tab, a no-break space and an ideographic space are white space to Python, not to StringTokenizer.
    text = "one\ttwo\r\nthree\x0cfour five\x0bsix seven\u00a0eight nine\u3000ten"
    assert TOKEN.findall(text) == ["one", "two", "three", "four", "five\x0bsix", "seven\u00a0eight", "nine\u3000ten"]


@pytest.mark.parametrize(
    ("got", "message"),
    [
        ({"a": 1}, "1 of 2 words are counted wrong: 'b': none instead of 2"),
        ({"a": 2, "b": 2}, "1 of 2 words are counted wrong: 'a': 2 instead of 1"),
        ({"a": 1, "b": 2, "c": 9}, "1 of 2 words are counted wrong: 'c': 9 instead of none"),
    ],
)
def test_any_wrong_count_is_named(got: dict[str, int], message: str) -> None:
    compare({"a": 1, "b": 2}, {"b": 2, "a": 1})
    with pytest.raises(SmokeError, match=message):
        compare({"a": 1, "b": 2}, got)


def test_work_on_one_host_of_two_is_not_a_cluster() -> None:
    assert spread("tasks ran", {"w1", "w2"}, ["w2", "w1"]) == "tasks ran on w1, w2"
    assert spread("tasks ran", {"w1", "w3"}, ["w1", "w2", "w3"]) == "tasks ran on w1, w3"
    assert spread("tasks ran", {"w1"}, ["w1"]) == "tasks ran on w1"
    with pytest.raises(SmokeError, match="tasks ran on w1 only, though there are w1, w2"):
        spread("tasks ran", {"w1"}, ["w1", "w2"])
    with pytest.raises(SmokeError, match="blocks lie on no host only"):
        spread("blocks lie", {"elsewhere"}, ["w1"])


def test_a_list_of_one_is_a_list() -> None:
    assert entries({"id": "a"}) == [{"id": "a"}]
    assert entries([{"id": "a"}, {"id": "b"}]) == [{"id": "a"}, {"id": "b"}]
