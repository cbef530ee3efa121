# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ready accepts as the value expected, and which checks it refuses."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.probes import (
    MISSING,
    check_options,
    look,
    recorded,
    same,
    value_at,
)

CHECK: dict[str, Any] = {
    "name": "x",
    "port": None,
    "host": "127.0.0.1",
    "url": None,
    "status": 200,
    "contains": "",
    "json": {},
    "names": [],
    "command": [],
    "rc": 0,
}
DOCUMENT = {"beans": [{"tag.State": "active", "n": {"live": 2}}, {"a": {"b": 1}, "a.b": {"c": 3}}], "0": "zero"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("beans.0.tag.State", "active"),
        ("beans.0.n.live", 2),
        ("beans.1.a.b", 1),
        ("beans.1.a.b.c", 3),
        ("0", "zero"),
        ("beans.0.n", {"live": 2}),
    ],
)
def test_a_dotted_path_reaches_into_lists_and_keys_with_dots(path: str, expected: Any) -> None:
    assert value_at(DOCUMENT, path.split(".")) == expected


@pytest.mark.parametrize("path", ["beans.2", "beans.-1", "beans.x", "beans.0.n.live.deeper", "nothing", ""])
def test_what_is_not_there_equals_nothing(path: str) -> None:
    assert value_at(DOCUMENT, path.split(".")) is MISSING


@pytest.mark.parametrize(("seen", "expected"), [(2, 2), (2, "2"), ("2", 2), (True, True), (True, "True"), (None, None)])
def test_values_equal_as_text_are_equal(seen: Any, expected: Any) -> None:
    assert same(seen, expected)


@pytest.mark.parametrize(("seen", "expected"), [(2, 3), (1, True), (0, False), ("A", "a"), (2, 2.5)])
def test_other_values_are_not(seen: Any, expected: Any) -> None:
    assert not same(seen, expected)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"port": 1, "url": "http://x/"},
        {"url": "ftp://x/"},
        {"url": "file:///etc/passwd"},
        {"url": "http://user:word@x/"},
    ],
)
def test_a_check_looks_at_one_thing_and_holds_no_secret(more: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        check_options([{**CHECK, **more}])


def test_names_are_unique() -> None:
    with pytest.raises(InputError, match="twice"):
        check_options([{**CHECK, "port": 1}, {**CHECK, "port": 2}])


def test_the_manifest_keeps_what_was_given() -> None:
    assert recorded({**CHECK, "port": 22}) == {"name": "x", "host": "127.0.0.1", "port": 22}
    assert recorded({**CHECK, "command": ["true"]}) == {"name": "x", "command": ["true"], "rc": 0}


def test_an_answer_that_is_no_http_is_told_in_a_bounded_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"x" * 100_000)

        thread = threading.Thread(target=talk)
        thread.start()
        seen = look({**CHECK, "url": f"http://127.0.0.1:{server.getsockname()[1]}/"}, 5)
        thread.join()
    assert seen
    assert len(seen) < 300


def test_names_that_cannot_be_resolved_are_named() -> None:
    check = {**CHECK, "names": ["localhost", "no-such-host.invalid"]}
    assert look({**check, "names": ["localhost"]}, 5) == ""
    assert look(check, 20) == "no-such-host.invalid cannot be resolved"
    assert recorded(check) == {"name": "x", "names": ["localhost", "no-such-host.invalid"]}


@pytest.mark.parametrize("name", ["", "-s", "a b", "a\nb"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="are no host names"):
        check_options([{**CHECK, "names": [name]}])
