# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real programs by the real go: the same bytes in another folder and with other caches, and an image of one."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store import crane
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.base import silent
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.golang import GoSource
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Resolved, Store

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="go is not installed")


def built(name: str, cache: Path) -> Resolved:
    """An artefact of the catalogue by its Go source, into a store of its own, with caches that are empty."""
    return Store(cache / "store").resolve(catalogue(name), source="go")


# One of them uses the standard library alone, the other modules from the proxy.
@pytest.mark.parametrize("name", ["pause", "flannel-cni"])
def test_same_entry_gives_same_bytes_in_another_folder_with_cold_caches(name: str, tmp_path: Path) -> None:
    first = built(name, tmp_path / "one")
    second = built(name, tmp_path / "a" / "much" / "longer" / "path")
    assert (first.source, second.source) == ("go", "go")
    assert first.digest == second.digest
    source = catalogue(name).sources[0]
    assert isinstance(source, GoSource)
    assert sorted(first.entries) == source.entries()
    program = first.path / first.entries[0].path
    # Neither folder shows in the program.
    assert str(tmp_path).encode() not in program.read_bytes()


def test_pause_ends_when_told_and_collects_orphans(tmp_path: Path) -> None:
    program = Store().resolve(catalogue("pause")).path / "bin" / "pause"
    # The shell leaves it a child that it knows nothing of.
    process = subprocess.Popen(["sh", "-c", f"sleep 0.5 & exec {program}"])
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        deadline = time.monotonic() + 20
        seen = False
        while time.monotonic() < deadline and not (seen and not children.read_text()):
            seen = seen or bool(children.read_text())
            time.sleep(0.02)
        assert seen and not children.read_text()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.terminate()
        assert process.wait(5) == 0
    finally:
        process.kill()


def test_image_of_it_is_one_that_other_tools_read(tmp_path: Path) -> None:
    found = Store().resolve(catalogue("image-pause"))
    archive = found.path / "image.tar"
    with tarfile.open(archive) as image:
        assert {"oci-layout", "index.json", "manifest.json"} < set(image.getnames())
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    for transport in ("oci-archive", "docker-archive"):
        shown = subprocess.run(
            ["skopeo", "inspect", "--config", f"{transport}:{archive}"], check=True, capture_output=True, text=True
        )
        config = json.loads(shown.stdout)
        assert config["config"]["Entrypoint"] == ["/pause"]
        assert (config["architecture"], config["os"]) == ("amd64", "linux")
    copied = tmp_path / "copied"
    subprocess.run(["skopeo", "copy", "--quiet", f"oci-archive:{archive}", f"dir:{copied}"], check=True)
    manifest = json.loads((copied / "manifest.json").read_text())
    layer = copied / str(manifest["layers"][0]["digest"]).removeprefix("sha256:")
    with tarfile.open(layer) as root:
        assert "pause" in root.getnames()


@pytest.mark.root
def test_containerd_imports_it_under_our_name(tmp_path: Path) -> None:
    containerd = Store().find(catalogue("containerd"))
    if containerd is None:
        pytest.skip("containerd is not in the store: labctl artifacts build containerd")
    archive = Store().resolve(catalogue("image-pause")).path / "image.tar"
    programs, listens = containerd.path / "bin", tmp_path / "sock"
    daemon = subprocess.Popen(
        [
            *(programs / "containerd", "--root", tmp_path / "root", "--state", tmp_path / "state"),
            *("--address", listens, "--config", "/dev/null"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not listens.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        ctr = [programs / "ctr", "--address", listens, "--namespace", "k8s.io", "images"]
        subprocess.run([*ctr, "import", archive], check=True, capture_output=True, timeout=60)
        listed = subprocess.run([*ctr, "list", "--quiet"], check=True, capture_output=True, text=True, timeout=60)
        assert "localhost/labctl/pause:3.10.2" in listed.stdout.split()
    finally:
        daemon.terminate()
        daemon.wait(30)


def test_crane_pulls_from_a_registry_by_digest(tmp_path: Path) -> None:
    program = str(Store().resolve(catalogue("crane"), source="go").path / "bin" / "crane")
    archive = Store().resolve(catalogue("image-pause")).path / "image.tar"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    registry = subprocess.Popen(
        [program, "registry", "serve", "--address", address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        reference = f"{address}/lab/pause:1"
        layout = tmp_path / "layout"
        with tarfile.open(archive) as image:
            image.extractall(layout, filter="data")
        push = [program, "push", "--insecure", layout, reference]
        for _ in range(100):
            done = subprocess.run(push, check=False, capture_output=True, text=True)
            if done.returncode == 0:
                break
            time.sleep(0.1)
        digest = done.stdout.strip().partition("@")[2]
        pulled = make(tmp_path / "pulled")
        manifest, config, layers = crane.pull(program, reference, digest, "x86_64", pulled, silent)
        assert f"sha256:{manifest.sha256}" == digest
        assert b'"Entrypoint":["/pause"]' in Path(str(config.content)).read_bytes()
        assert len(layers) == 1
        other = f"sha256:{'0' * 64}"
        with pytest.raises(PreflightError, match=r"crane failed: .*MANIFEST_UNKNOWN"):
            crane.pull(program, reference, other, "x86_64", make(tmp_path / "other"), silent)
    finally:
        registry.terminate()
        registry.wait(10)


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder
