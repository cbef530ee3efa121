# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From whom a host gets an artefact: the controller sends it twice, unless others fail. The modules are doubles."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.action.artifact import ActionModule
from ansible_collections.labctl.stacks.plugins.plugin_utils.seeds import SEEDS, Seeds

DIGEST = "d" * 64


class Action(ActionModule):  # type: ignore[misc]
    """The action on one of many hosts; ``peers`` says whether a URL can be reached."""

    def __init__(self, peers: Any = lambda url: True, shares: bool = True) -> None:
        self._args = {"artifacts": [{"name": "thing"}]}
        self._templar = SimpleNamespace(template=lambda value: value)
        self.peers = peers
        self.shares = shares
        self.asked: list[str] = []
        self.sent = 0

    def _send(self, resolved: Any) -> str:
        self.sent += 1
        return "/tmp/x.tar"

    def _execute_module(self, module_name: str, module_args: dict[str, Any], task_vars: Any) -> Any:
        bring = module_args["bring"]
        assert bring["name"] == "thing"
        if "peer" in bring:
            self.asked.append(bring["peer"])
            if self.peers(bring["peer"]):
                return {"changed": True}
            return {"needs": ["thing", "other"], "warnings": ["connection refused"]}
        return {"changed": True} | ({"shared": 4711} if self.shares and "share" in bring else {})

    def go(self, host: str, hosts: int = 6) -> Any:
        play = [f"w{number}" for number in range(hosts)]
        variables = {"inventory_hostname": host, "lab_address": f"10.0.0.{host[1:]}", "ansible_play_hosts": play}
        return self._bring(SimpleNamespace(name="thing", digest=DIGEST), variables)


@pytest.fixture(autouse=True)
def of_this_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible.constants.DEFAULT_LOCAL_TMP", str(tmp_path))


def test_the_controller_sends_to_two_and_they_to_the_others() -> None:
    actions = [Action() for _ in range(6)]
    for number, action in enumerate(actions):
        result = action.go(f"w{number}")
        assert result == {"changed": True}, "the port is for the action alone"
    assert [action.sent for action in actions] == [1, 1, 0, 0, 0, 0]
    urls = {url for action in actions for url in action.asked}
    assert {url.rsplit("/", 1)[0] for url in urls} <= {"http://10.0.0.0:4711", "http://10.0.0.1:4711"}
    assert all(len(url.rsplit("/", 1)[1]) >= 43 for url in urls)


def test_all_at_once_wait_for_the_first_two() -> None:
    actions = [Action() for _ in range(12)]
    threads = [threading.Thread(target=action.go, args=(f"w{n}", 12)) for n, action in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert sum(action.sent for action in actions) == SEEDS


def test_few_hosts_get_it_from_the_controller() -> None:
    actions = [Action() for _ in range(4)]
    for number, action in enumerate(actions):
        action.go(f"w{number}", hosts=4)
    assert [action.sent for action in actions] == [1] * 4


def test_a_host_that_reaches_no_peer_gets_it_from_the_controller() -> None:
    for number in range(SEEDS):
        Action().go(f"w{number}")
    action = Action(peers=lambda url: False)
    assert action.go("w5") == {"changed": True, "warnings": ["connection refused"] * SEEDS}
    assert len(set(action.asked)) == SEEDS, "each peer is tried once"
    assert action.sent == 1
    other = Action(peers=lambda url: "10.0.0.1" in url)
    other.go("w4")
    assert other.sent == 0


def test_hosts_that_cannot_share_leave_the_controller_to_send() -> None:
    actions = [Action(shares=False) for _ in range(6)]
    for number, action in enumerate(actions):
        action.go(f"w{number}")
    assert [action.sent for action in actions] == [1] * 6


def test_a_place_that_was_not_filled_is_free_again(tmp_path: Path) -> None:
    seeds = Seeds(tmp_path, DIGEST)
    with seeds.place() as first, Seeds(tmp_path, DIGEST).place() as second, Seeds(tmp_path, DIGEST).place() as third:
        assert first
        assert second
        assert third is None
        second.fill("http://x")
    assert seeds.ready() == ["http://x"]
    with seeds.place() as again:
        assert again
