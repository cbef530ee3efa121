# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`labctl up k8s` as its user sees it: the proof, the demo in a browser, drift of an object, and nothing left behind.

The tests are the chapters of one story and run in this order; a chapter leaves the lab converged.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="makes hosts, which needs root")]

BIN = Path(sys.executable).parent
NAME = "e2e-k8s"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Story:
    """A lab folder made by `labctl init`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"}

    def run(self, *argv: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=timeout, check=False
        )

    def ok(self, *argv: str) -> str:
        """What labctl prints as data."""
        done = self.run("labctl", *argv)
        said = f"labctl {' '.join(argv)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, said
        return done.stdout

    def kubectl(self, words: str) -> str:
        return self.ok("exec", "master", "--", f"kubectl {words}")

    def unsettled(self) -> object:
        """Which hosts are stale, and why; nothing where the lab is as it should be."""
        plan = json.loads(self.ok("plan", "--json"))
        return [stack["hosts"] for stack in plan["stacks"] if stack["hosts"]]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("e2e")
    story = Story(folder)
    story.ok("init", "--stack", "k8s", "--provider", "nspawn", NAME)
    story.folder = folder / NAME
    yield story
    story.run("labctl", "down", "--yes")


def test_up_makes_a_cluster_that_works(story: Story) -> None:
    story.ok("up")
    proven = story.ok("check")
    for line in ("nodes: master, worker1, worker2 ready", "2 replicas ready on worker1, worker2", "none failed"):
        assert line in proven
    assert "labctl-smoke" not in story.kubectl("get namespaces -o name")
    assert not story.unsettled()
    hosts = json.loads(story.ok("status", "--json"))["hosts"]
    assert all("read_only_sys" in host["constraints"] for host in hosts), "nspawn hosts are containers"


def test_a_second_up_finds_nothing_to_do(story: Story) -> None:
    story.ok("up")
    last = json.loads(story.ok("runs", "list", "--json"))[-1]
    assert (last["command"], last["result"], last["changes"]) == ("labctl up", "done", 0)
    assert json.loads(story.ok("runs", "show", "last", "--json"))["playbooks"] == [], "Ansible was not needed"


def test_an_object_that_somebody_changed_is_named_and_mended(story: Story) -> None:
    look = "-n kube-flannel get daemonset flannel -o jsonpath={.spec.template.spec.hostNetwork}"
    assert story.kubectl(look).strip() == "true"
    patch = '{"spec":{"template":{"spec":{"hostNetwork":false}}}}'
    story.kubectl(f"-n kube-flannel patch daemonset flannel -p '{patch}'")
    drift = json.loads(story.ok("plan", "--json"))["drift"]
    assert {one["role"] for one in drift["master"]} == {"flannel"}
    assert any("DaemonSet kube-flannel/flannel" in one["found"] for one in drift["master"]), "it says which object"
    story.ok("up", "--skip-check")
    assert story.kubectl(look).strip() == "true"
    assert not story.unsettled()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt install chromium")
def test_the_demos_page_is_seen_in_a_browser(story: Story, tmp_path: Path) -> None:
    pages = story.ok("demo").split()
    assert len(pages) == 2, "one by each node"
    assert not story.unsettled(), "it makes no host stale"
    for page in pages:
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom"]
        seen = story.run(str(BROWSER), *options, page, timeout=120).stdout
        assert "<title>The lab's bookshop</title>" in seen
        for service, words in {"catalogue": "Leslie Lamport", "reviews": "exercise", "ratings": "<td>5</td>"}.items():
            assert f'id="{service}"' in seen
            assert words in seen
        assert "not available" not in seen


def test_the_demo_can_be_played_with_put_right_and_taken_away(story: Story) -> None:
    page = story.ok("demo").split()[0]
    story.kubectl("-n bookshop scale deployment ratings --replicas=0")
    assert not story.unsettled(), "it is the user's to play with"
    story.ok("demo")
    assert story.kubectl("-n bookshop get deployment ratings -o jsonpath={.status.readyReplicas}").strip() == "1"
    story.ok("demo", "--remove")
    assert "bookshop" not in story.kubectl("get namespaces -o name")
    assert story.ok("exec", "master", "--", "ls /opt").count("helm") == 0
    assert not story.unsettled()
    address = page.split("/")[2].split(":")[0]
    deadline = time.monotonic() + 20
    argv = ["curl", "--silent", "--max-time", "2", f"http://{address}:30080/"]
    while story.run(*argv).returncode == 0:
        assert time.monotonic() < deadline, "the page is still served"
        time.sleep(0.5)


def test_down_leaves_nothing(story: Story) -> None:
    story.ok("down", "--yes")
    left = [path.name for path in Path("/var/lib/labctl/nspawn").glob(f"{NAME}-*")]
    assert not left
