# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster over its life: killed while it forms and grows, scaled, its masters lost, its settings changed.

The tests are the chapters of one story and run in this order; a chapter leaves the lab converged.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="makes hosts, which needs root")]

BIN = Path(sys.executable).parent
NAME = "long-k8s"
LAB = """\
name: long-k8s
provider: nspawn
hosts:
  master: {count: 1, groups: [k8s_master], memory: 2GiB}
  worker: {count: 1, groups: [k8s_node], memory: 1GiB}
stacks: [k8s]
"""
ETCDCTL = (
    "kubectl -n kube-system exec etcd-{name} -- etcdctl --cacert /etc/kubernetes/pki/etcd/ca.crt"
    " --cert /etc/kubernetes/pki/etcd/server.crt --key /etc/kubernetes/pki/etcd/server.key member list"
)


class Story:
    """A lab folder, and labctl in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"}

    def run(self, *argv: str, timeout: float = 1200) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=timeout, check=False
        )

    def ok(self, *argv: str) -> str:
        done = self.run("labctl", *argv)
        said = f"labctl {' '.join(argv)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, said
        return done.stdout

    def on(self, host: str, script: str) -> subprocess.CompletedProcess[str]:
        return self.run("ssh", "-F", ".labctl/ssh/config", host, script, timeout=60)

    def nodes(self, master: str = "master1") -> list[str]:
        return self.on(master, "kubectl get nodes --no-headers | awk '$2 == \"Ready\" {print $1}'").stdout.split()

    def members(self, master: str) -> list[str]:
        lines = self.on(master, ETCDCTL.format(name=master)).stdout.splitlines()
        return sorted(line.split(", ")[2] for line in lines)

    def state(self, host: str) -> Path:
        (found,) = Path("/var/lib/labctl/nspawn").glob(f"{NAME}-*/{host}.run.json")
        return found

    def kill_host(self, host: str) -> None:
        os.kill(int(json.loads(self.state(host).read_text())["pid"]), signal.SIGKILL)

    def killed_up(self, moment: Callable[[], bool]) -> None:
        """`labctl up`, with all its processes killed at once at that moment."""
        up = subprocess.Popen(
            ["labctl", "up"],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + 600
        while not moment():
            assert up.poll() is None, up.stdout.read().decode() if up.stdout else ""
            assert time.monotonic() < deadline, "the moment did not come"
            time.sleep(0.05)
        os.killpg(up.pid, signal.SIGKILL)
        up.communicate()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    story = Story(tmp_path_factory.mktemp("long"))
    (story.folder / "lab.yml").write_text(LAB)
    yield story
    story.run("labctl", "down", "--yes")


def there(story: Story, host: str, path: str) -> Callable[[], bool]:
    return lambda: story.on(host, f"test -e {path}").returncode == 0


def test_killed_while_the_cluster_forms(story: Story) -> None:
    story.killed_up(there(story, "master1", "/etc/kubernetes/manifests/kube-apiserver.yaml"))
    story.ok("up")
    assert story.members("master1") == ["master1"]
    assert sorted(story.nodes()) == ["master1", "worker1"]


def test_killed_while_a_node_joins(story: Story) -> None:
    assert story.run("labctl", "scale", "worker=2", "--yes").returncode == 0
    story.on("master1", "kubectl delete node worker2")
    story.killed_up(there(story, "worker2", "/etc/kubernetes/bootstrap-kubelet.conf"))
    story.ok("up")
    assert sorted(story.nodes()) == ["master1", "worker1", "worker2"]


def test_one_master_grows_to_three_in_place(story: Story) -> None:
    before = story.on("master1", "cat /etc/kubernetes/pki/ca.crt").stdout
    story.ok("scale", "master=3", "--yes")
    assert story.members("master2") == ["master1", "master2", "master3"]
    assert story.on("master3", "cat /etc/kubernetes/pki/ca.crt").stdout == before != ""


def test_a_node_leaves_after_its_pods(story: Story) -> None:
    story.on("master1", "kubectl create deployment web --image=localhost/labctl/labweb:1.0.0 --replicas=4")
    story.on("master1", "kubectl rollout status deployment/web --timeout=120s")
    story.ok("scale", "worker=1", "--yes")
    assert "worker2" not in story.nodes()
    placed = story.on("master1", "kubectl get pods -l app=web --no-headers -o wide").stdout
    assert placed.count("Running") == placed.count("worker1") == 4, placed
    assert "count: 1" in (story.folder / "lab.yml").read_text().splitlines()[4]
    story.on("master1", "kubectl delete deployment web")


@pytest.mark.parametrize("lost", ["master2", "master1"])
def test_a_master_that_is_lost_is_made_anew(story: Story, lost: str) -> None:
    """Also the first, which formed the cluster: it joins the others, and forms no second one."""
    other = "master3"
    story.kill_host(lost)
    wrote = story.on(other, f"kubectl --server https://kubernetes-api:7443 create configmap without-{lost}")
    assert wrote.returncode == 0, wrote.stderr
    time.sleep(1)
    folder = story.state(lost).parent
    subprocess.run(["umount", "--lazy", str(folder / lost / "root")], check=False)
    for path in (folder / f"{lost}.host.json", folder / f"{lost}.run.json"):
        path.unlink()
    subprocess.run(["rm", "-rf", "--one-file-system", str(folder / lost)], check=True)
    story.ok("up")
    assert story.members(other) == ["master1", "master2", "master3"]
    assert sorted(story.nodes(other)) == ["master1", "master2", "master3", "worker1"]
    assert story.on(lost, f"kubectl get configmap without-{lost} -o name").stdout.strip() == f"configmap/without-{lost}"


def test_changed_settings_reach_every_host_and_lose_no_write(story: Story) -> None:
    settings = """\
vars:
  k8s_master_settings:
    ClusterConfiguration:
      apiServer: {extraArgs: [{name: max-requests-inflight, value: "500"}]}
      etcd: {local: {extraArgs: [{name: snapshot-count, value: "20000"}]}}
    KubeletConfiguration: {maxPods: 50}
"""
    lab = story.folder / "lab.yml"
    lab.write_text(lab.read_text() + settings)
    stop, accepted = threading.Event(), []

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            create = f"kubectl -n default create configmap write-{number} --request-timeout=10s"
            if story.on("worker1", f"KUBECONFIG=/run/admin.conf {create}").returncode == 0:
                accepted.append(f"write-{number}")

    config = story.on("master1", "cat /etc/kubernetes/admin.conf").stdout
    subprocess.run(
        ["ssh", "-F", ".labctl/ssh/config", "worker1", "umask 077; cat > /run/admin.conf"],
        cwd=story.folder,
        input=config.encode(),
        check=True,
    )
    writer = threading.Thread(target=write)
    writer.start()
    try:
        story.ok("up")
    finally:
        stop.set()
        writer.join()
        story.on("worker1", "rm /run/admin.conf")
    for master in ("master1", "master2", "master3"):
        manifests = story.on(master, "cat /etc/kubernetes/manifests/*.yaml").stdout
        assert "--snapshot-count=20000" in manifests
        assert "--max-requests-inflight=500" in manifests
    for host in ("master1", "worker1"):
        assert "maxPods: 50" in story.on(host, "cat /var/lib/kubelet/config.yaml").stdout
    found = story.on("master1", "kubectl get configmaps -o name").stdout.split()
    assert len(accepted) > 20
    assert {f"configmap/{name}" for name in accepted} <= set(found)


def test_down_leaves_nothing(story: Story) -> None:
    story.ok("down", "--yes")
    assert list(Path("/var/lib/labctl/nspawn").glob(f"{NAME}-*")) == []
