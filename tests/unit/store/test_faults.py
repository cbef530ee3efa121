# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store under trouble: killed anywhere, a full disk, servers that misbehave in every way. One clear error each.

What is asked of each fault: the error names the artefact, the source and what to do; the next source is tried; nothing
stands half-written under a final name; and the same call once more gives the artefact.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store.keep import verify
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import sha256_file
from unit.store.doubles import (
    QUICK,
    RELEASE,
    Answer,
    Mirror,
    archive,
    artifact,
    member,
    ranged,
    redirects,
    sends,
    sha512,
    tar,
    zipped,
)

BIG = tar(*(member(f"thing-1/share/lib/{n}.jar", os.urandom(1) * (200_000 + n)) for n in range(20)), compressed=False)


def loris(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "100000")
    request.end_headers()
    for _ in range(200):
        request.wfile.write(b"x")
        request.wfile.flush()
        time.sleep(0.05)


def hostile(*members: object) -> tuple[Answer, str]:
    body = tar(member("thing-1/share/lib/a.jar", b"a"), *members)  # type: ignore[arg-type]
    return sends(body), sha512(body)


FAULTS: dict[str, tuple[Answer, str, str]] = {
    "29 wrong digest": (sends(RELEASE[:-1] + b"x"), sha512(RELEASE), "wrong digest"),
    "30 truncated, length right": (sends(RELEASE[:200]), sha512(RELEASE), "wrong digest"),
    "30 truncated, length told": (sends(RELEASE[:200], length=len(RELEASE)), sha512(RELEASE), "ended after 200 of"),
    "31 not found": (sends(b"", status=404), sha512(RELEASE), "the server answered 404"),
    "31 server error": (sends(b"", status=500), sha512(RELEASE), "the server answered 500"),
    "32 slow": (loris, sha512(RELEASE), "too slow"),
    "34 login page": (sends(b"<!DOCTYPE html><p>Log in"), sha512(RELEASE), "is an HTML page"),
    "36 redirect": (redirects("ftp://127.0.0.1/x"), sha512(RELEASE), "redirected to ftp://"),
    "74 leaves by ..": (*hostile(member("../../evil", b"x")), "unsafe path"),
    "74 absolute": (*hostile(member("/etc/evil", b"x")), "unsafe path"),
    "74 through a link": (
        *hostile(member("d", type=b"2", linkname="/etc"), member("d/evil", b"x")), "unsafe path|not a folder"
    ),
    "74 device": (*hostile(member("sda", type=b"4")), "device"),
    "74 setuid": (*hostile(member("su", b"x", mode=0o4755)), "setuid"),
}  # fmt: skip


def standing(store: Store) -> None:
    """Whatever stands under a final name is whole: a blob is what its name says, and there is no tree."""
    for blob in (store.root / "blobs/sha256").glob("??/*"):
        assert sha256_file(blob) == blob.name
    assert list((store.root / "trees").iterdir()) == []
    assert list((store.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_one_clear_error_and_the_next_source_is_tried(store: Store, mirror: Mirror, fault: str) -> None:
    answer, digest, says = FAULTS[fault]
    store.rules = replace(QUICK, timeout=0.3, attempts=2)
    url = mirror.url("/bad/thing.tgz", answer)
    with pytest.raises(PreflightError, match="thing 1: none of its sources gives it") as failure:
        store.resolve(artifact(archive(url, digest=digest)))
    (finding,) = failure.value.findings
    assert finding.where == "archive"
    assert any(part in finding.what for part in says.split("|"))
    assert failure.value.exit_code == 3
    assert failure.value.hint
    standing(store)
    good = archive(mirror.url("/good/thing.tgz", sends(RELEASE)), name="second")
    found = store.resolve(artifact(archive(url, digest=digest), good))
    assert found.source == "second"
    assert finding.what in found.notes[0]
    assert verify(store.root, lambda done, total: None)[1] == []


def test_zip_bomb_and_hostile_zip_are_refused_by_the_store(store: Store, mirror: Mirror) -> None:
    for body in (zipped(("../x", b"x", 0o100644)), zipped(("su", b"x", 0o104755)), b"PK\x03\x04 no zip at all"):
        with pytest.raises(PreflightError):
            store.resolve(artifact(archive(mirror.url("/thing.zip", sends(body)), digest=sha512(body))))
        standing(store)


def test_flapping_server_gives_it_in_the_end(store: Store, mirror: Mirror) -> None:
    cut = ranged(RELEASE, cut=100)
    url = mirror.url("/thing.tgz", sends(b"", status=503), cut, ranged(RELEASE))
    assert store.resolve(artifact(archive(url))).source == "archive"


def test_offline_with_a_complete_store_succeeds(store: Store, mirror: Mirror) -> None:
    url = mirror.url("/thing.tgz", sends(RELEASE))
    first = store.resolve(artifact(archive(url)))
    mirror.routes.clear()
    offline = Store(store.root, rules=replace(QUICK, timeout=0.1))
    assert offline.resolve(artifact(archive("http://127.0.0.1:1/thing.tgz"))).digest == first.digest
    assert mirror.requests == ["/thing.tgz"]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A file system of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    try:
        yield folder  # type: ignore[misc]
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_says_so_and_leaves_nothing_half_done(small: Path, mirror: Mirror) -> None:
    store = Store(small / "store", rules=QUICK)
    url = mirror.url("/thing.tar", sends(BIG))
    with pytest.raises(PreflightError, match="No space left on device") as failure:
        store.resolve(artifact(replaced(url)))
    assert "LABCTL_CACHE_DIR" in failure.value.hint
    standing(store)
    small_one = artifact(archive(mirror.url("/thing.tgz", sends(RELEASE))))
    assert store.resolve(small_one).source == "archive"


def replaced(url: str) -> object:
    return replace(archive(url, digest=sha512(BIG)), max_bytes=1 << 26)


SCRIPT = textwrap.dedent(
    """
    import os, sys, threading, time
    from dataclasses import replace
    from pathlib import Path
    from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store
    from unit.store.doubles import QUICK, archive, artifact
    moments = int(sys.argv[3])
    count = 0

    def trace(event, arguments):
        # Every change of the file system is a moment to die at.
        global count
        if event in ("os.rename", "os.link", "os.mkdir", "os.remove", "os.chmod", "os.rmdir") or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        ):
            count += 1
            if count == moments:
                os.kill(os.getpid(), 9)

    store = Store(Path(sys.argv[1]), rules=QUICK)
    wanted = artifact(archive(sys.argv[2]))
    sys.addaudithook(trace)
    store.resolve(wanted)
    print(count)
    """
)


def run(store: Store, url: str, moment: int) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(store.root), url, str(moment)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    return done.returncode, done.stdout


def test_killed_at_every_change_of_the_disk_it_is_whole_or_not_there(tmp_path: Path, mirror: Mirror) -> None:
    url = mirror.url("/thing.tgz", ranged(RELEASE))
    code, said = run(Store(tmp_path / "whole", rules=QUICK), url, 0)
    assert code == 0
    total = int(said)
    assert total > 20
    for moment in range(1, total + 1):
        store = Store(tmp_path / f"at{moment}" / "store", rules=QUICK)
        code, _ = run(store, url, moment)
        assert code == -signal.SIGKILL, moment
        for blob in (store.root / "blobs/sha256").glob("??/*"):
            assert sha256_file(blob) == blob.name, moment
        found = store.resolve(artifact(archive(url)))
        assert verify(store.root, lambda done, total: None)[1] == [], moment
        assert [path.name for path in (store.root / "trees").iterdir()] == [found.digest], moment
        assert list((store.root / "tmp").iterdir()) == [], moment
        assert list((store.root / "partial").iterdir()) == [], moment
