# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Hadoop lab on a machine without a network: from one file to a proven cluster.

The bundle is made here. All the rest runs in a network namespace that has a loopback device and no route, with an empty
home and an empty cache, by a labctl that was installed from the bundle itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes hosts, which needs root"),
    pytest.mark.skipif(shutil.which("zstd") is None, reason="labctl is unpacked from the bundle by the program zstd"),
]

#: A /sys of its own, because that shows the devices of the network namespace it was mounted in.
ISLAND = """
set -eu
mkdir "$1/cgroup"
mount --rbind /sys/fs/cgroup "$1/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$1/cgroup" /sys/fs/cgroup
ip link set lo up
echo up
exec sleep infinity
"""
BIN = Path(sys.executable).parent
NAME = "e2e-offline"


class Island:
    """A machine without a network: its folder, and a network namespace that lives as long as this object."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home, self.lab = folder / "home", folder / "lab"
        for path in (self.home, self.lab):
            path.mkdir()
        self.python = folder / "venv" / "bin"
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", ISLAND, "island", str(folder)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == "up\n"

    def run(self, *argv: str, code: int = 0, timeout: float = 600) -> str:
        """Run something there, with nothing of this environment's caches or Python; what it printed."""
        dropped = ("ANSIBLE_", "PYTHON", "VIRTUAL_", "LABCTL_", "XDG_", "PIP_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
        cache = str(self.folder / "cache")
        done = subprocess.run(
            ["nsenter", f"--target={self._keeper.pid}", "--net", "--mount", f"--wd={self.lab}", *argv],
            env={**kept, "HOME": str(self.home), "LABCTL_CACHE_DIR": cache, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        assert done.returncode == code, f"{argv} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def labctl(self, *argv: str, code: int = 0) -> str:
        return self.run(str(self.python / "labctl"), *argv, code=code)

    def end(self) -> None:
        self._keeper.kill()
        self._keeper.wait()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A bundle of a Hadoop lab, and its digest."""
    folder = tmp_path_factory.mktemp("here")
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"}

    def labctl(*argv: str) -> str:
        done = subprocess.run(
            ["labctl", *argv], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    labctl("init", "--stack", "hadoop", "--provider", "nspawn", NAME)
    digest = labctl("bundle", "export", NAME, "-o", "lab.bundle").strip()
    assert labctl("bundle", "export", NAME, "-o", "again.bundle").strip() == digest
    assert (folder / "again.bundle").read_bytes() == (folder / "lab.bundle").read_bytes()
    (folder / "again.bundle").unlink()
    return folder / "lab.bundle", digest


@pytest.fixture(scope="module")
def island() -> Iterator[Island]:
    # A short path: ssh's control sockets have a limit.
    with tempfile.TemporaryDirectory(prefix="labctl-test-") as folder:
        island = Island(Path(folder))
        yield island
        if (island.python / "labctl").exists():
            island.labctl("down", "--yes", code=0)
        island.end()


def test_there_is_no_way_out(island: Island) -> None:
    assert island.run("ip", "route").strip() == ""
    assert json.loads(island.run("ip", "-json", "link"))[0]["ifname"] == "lo"


def test_labctl_is_installed_from_the_bundle_alone(island: Island, bundle: tuple[Path, str]) -> None:
    island.run("sh", "-c", f"zstd -dc {bundle[0]} | tar -xf - -C {island.folder} wheels")
    island.run(sys.executable, "-m", "venv", str(island.python.parent))
    wheels = ["--no-index", "--find-links", str(island.folder / "wheels")]
    island.run(str(island.python / "pip"), "install", "--quiet", *wheels, "labctl")
    assert "labctl " in island.labctl("version")
    where = island.run(str(island.python / "python"), "-c", "import labctl; print(labctl.__file__)")
    assert str(island.python.parent) in where


def test_the_bundle_is_refused_untold_and_taken_by_its_digest(island: Island, bundle: tuple[Path, str]) -> None:
    path, digest = bundle
    said = island.labctl("bundle", "import", str(path), code=2)
    assert digest in said
    assert not (island.folder / "cache" / "store").exists()
    island.labctl("bundle", "import", str(path), "--digest", digest)
    assert (island.lab / "lab.yml").is_file()
    assert "Traceback" not in said
    assert '"written": []' in island.labctl("bundle", "import", str(path), "--digest", digest, "--json")


def test_up_makes_a_cluster_that_works_and_up_again_changes_nothing(island: Island) -> None:
    said = island.labctl("up")
    assert "blocks lie on worker1, worker2" in said
    assert "words right" in said
    began = time.monotonic()
    assert "nothing" in island.labctl("up")
    assert time.monotonic() - began < 15


def test_down_leaves_no_host(island: Island) -> None:
    island.labctl("down", "--yes")
    assert not list(Path("/var/lib/labctl/nspawn").glob(f"{NAME}-*"))
