# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking after the store: all of it verified again, and what nobody uses removed."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.lablock import LabLock
from ansible_collections.labctl.stacks.plugins.module_utils.store import keep
from ansible_collections.labctl.stacks.plugins.module_utils.store.keep import collect, verify
from ansible_collections.labctl.stacks.plugins.module_utils.store.session import session
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.base import silent
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Resolved, Store
from unit.store.doubles import Mirror, archive, artifact, member, sends, sha512, tar

DAY = 86400


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of its own, without hosts or images."""
    monkeypatch.setattr(keep, "STATE_ROOT", tmp_path / "state")
    monkeypatch.setenv("LABCTL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "state"


def put(store: Store, mirror: Mirror, name: str, *, days: int = 0) -> Resolved:
    """An artefact with a file of its own and a program, last used so many days ago."""
    body = tar(
        member("thing-1/share/lib/a.jar", name.encode() * 50_000),
        member("thing-1/share/lib/shared.jar", b"s" * 50_000),
        member("thing-1/bin/tool", name.encode() * 1000, mode=0o755),
    )
    found = store.resolve(artifact(archive(mirror.url(f"/{name}", sends(body)), digest=sha512(body))))
    when = time.time() - days * DAY
    os.utime(store.root / "used" / found.digest, (when, when))
    return found


def blobs(store: Store) -> set[str]:
    return {path.name for path in (store.root / "blobs/sha256").glob("??/*")}


def told(done: int, total: int) -> None:
    assert 0 < done <= total


def test_whole_store_is_verified(store: Store, mirror: Mirror) -> None:
    put(store, mirror, "one")
    assert verify(store.root, told) == (4, [])  # the program lies there twice, as a blob and with its mode


def test_rot_that_no_time_shows_is_found_and_then_mended(
    store: Store, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ansible_collections.labctl.stacks.plugins.module_utils.store.disk.SETTLED", -(10**12))
    put(store, mirror, "one")
    found = put(store, mirror, "one")  # from the store, whose files' digests are remembered now
    jar = found.path / "lib/a.jar"
    jar.chmod(0o644)
    jar.write_bytes(b"x" * jar.stat().st_size)
    jar.chmod(0o444)
    # As rot on the disk would have it: what was remembered still fits.
    (memory,) = (store.root / "verified").glob("*.json")
    status = jar.lstat()
    good = next(entry.sha256 for entry in found.entries if entry.path == "lib/a.jar")
    known = json.loads(memory.read_text())
    known[f"{status.st_dev}:{status.st_ino}"] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, good]
    memory.write_text(json.dumps(known))
    files, wrong = verify(store.root, told)
    assert files == 4
    assert {one.where for one in wrong} == {f"blob {good}", f"tree {found.digest}"}
    again = put(store, mirror, "one")
    assert again.digest == found.digest
    assert "was damaged on disk" in again.notes[0]
    assert verify(store.root, told)[1] == []


@pytest.mark.parametrize("harm", ["extra", "mode", "link"])
def test_tree_that_is_not_what_its_name_says_is_found(store: Store, mirror: Mirror, harm: str) -> None:
    found = put(store, mirror, "one")
    if harm == "extra":
        (found.path / "lib/evil.jar").write_bytes(b"evil")
    elif harm == "mode":
        (found.path / "bin/tool").chmod(0o4555)
    else:
        (found.path / "bin/link").symlink_to("/etc/passwd")
    assert [one.where for one in verify(store.root, told)[1]] == [f"tree {found.digest}"]


def test_without_a_budget_only_rubbish_goes(store: Store, mirror: Mirror) -> None:
    found = put(store, mirror, "one", days=100)
    (store.root / "quarantine").mkdir()
    (store.root / "quarantine/x").write_bytes(b"x" * 5000)
    (store.root / "packs/gone.tar").write_bytes(b"x")
    stray = store.root / "blobs/sha256" / "00" / ("00" * 32)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"x")
    old, new = store.root / "partial/old", store.root / "partial/new"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    done = collect(store.root, None)
    assert sorted(unit.kind for unit in done.removed) == ["blob", "pack", "partial", "quarantine"]
    assert new.exists()
    assert found.path.is_dir()
    assert verify(store.root, told)[1] == []


def test_least_recently_used_goes_first_until_the_rest_fits(store: Store, mirror: Mirror) -> None:
    trees = {name: put(store, mirror, name, days=days) for name, days in (("one", 3), ("two", 2), ("three", 1))}
    whole = collect(store.root, None).left
    budget = whole - 100_000
    foreseen = collect(store.root, budget, dry_run=True)
    assert [unit.name for unit in foreseen.removed] == [trees["one"].digest]
    assert trees["one"].path.is_dir()
    done = collect(store.root, budget)
    assert not trees["one"].path.exists()
    assert trees["two"].path.is_dir()
    assert done.left <= budget
    left = {entry.sha256 for name in ("two", "three") for entry in trees[name].entries}
    assert blobs(store) == left
    assert verify(store.root, told)[1] == []


def test_what_a_lock_names_stays_until_the_lock_goes(store: Store, mirror: Mirror, tmp_path: Path) -> None:
    found = put(store, mirror, "one", days=3)
    lock = LabLock(tmp_path)
    lock.record([("thing", "1", "x86_64", found.digest)])
    store.remember_lab(lock.path)
    done = collect(store.root, 0)
    assert done.removed == ()
    assert done.kept > 0
    lock.path.unlink()
    collect(store.root, 0)
    assert not found.path.exists()
    assert list((store.root / "labs").iterdir()) == []


def test_what_a_host_on_this_machine_has_stays(store: Store, mirror: Mirror, nothing_runs: Path) -> None:
    found = put(store, mirror, "one", days=3)
    manifests = nothing_runs / "nspawn/lab-1/head/upper/var/lib/labctl/manifest.d"
    manifests.mkdir(parents=True)
    (nothing_runs / "nspawn/lab-1/head.host.json").write_text('{"image": "1234"}')
    (manifests / "hdfs.json").write_text(f'{{"target": "/var/lib/labctl/store/trees/{found.digest}"}}')
    assert collect(store.root, 0).removed == ()


def test_lock_that_cannot_be_read_stops_it(store: Store, mirror: Mirror, tmp_path: Path) -> None:
    found = put(store, mirror, "one", days=3)
    (tmp_path / "lab.lock").write_text("version: [")
    store.remember_lab(tmp_path / "lab.lock")
    with pytest.raises(PreflightError, match="what a lab uses cannot be told"):
        collect(store.root, 0)
    assert found.path.is_dir()


def test_images_that_no_host_lies_over_go_too(store: Store, mirror: Mirror, nothing_runs: Path, tmp_path: Path) -> None:
    put(store, mirror, "one")
    for name in ("aaaa", "bbbb"):
        image = tmp_path / "cache/images/nspawn" / name
        image.mkdir(parents=True)
        (image / "file").write_bytes(b"x" * 100_000)
    (nothing_runs / "nspawn/lab-1").mkdir(parents=True)
    (nothing_runs / "nspawn/lab-1/head.host.json").write_text('{"image": "aaaa"}')
    collect(store.root, 0)
    assert [path.name for path in (tmp_path / "cache/images/nspawn").iterdir()] == ["aaaa"]


def test_what_compilers_keep_goes_before_what_they_built(store: Store, mirror: Mirror, tmp_path: Path) -> None:
    found = put(store, mirror, "one", days=30)
    package = tmp_path / "cache/go/build/ab/package"
    package.parent.mkdir(parents=True)
    package.write_bytes(b"p" * 500_000)
    assert collect(store.root, None).removed == ()
    everything = collect(store.root, None).left
    done = collect(store.root, everything - 1)
    assert [(unit.kind, unit.name) for unit in done.removed] == [("build cache", "build")]
    assert not package.exists() and found.path.is_dir()
    assert done.left <= everything - 500_000


def test_it_waits_for_who_fetches(store: Store, mirror: Mirror) -> None:
    put(store, mirror, "one", days=3)
    done = threading.Event()

    def run() -> None:
        collect(store.root, 0)
        done.set()

    with session(store.root, "another", silent):
        thread = threading.Thread(target=run)
        thread.start()
        assert not done.wait(0.5)
    thread.join(10)
    assert done.is_set()


def test_no_store_is_nothing_to_collect(tmp_path: Path) -> None:
    assert collect(tmp_path / "none", 0).removed == ()
    assert not (tmp_path / "none").exists()
