# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: fetched once, verified each time, never half there."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.base import Job, Source, Where
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Resolved, Store
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import Entry, read_tree, tree_digest
from unit.store.doubles import RELEASE, WHERE, Answer, Mirror, archive, artifact, member, sends, sha512, tar

JAR = "lib/a.jar"


def fetched(store: Store, mirror: Mirror) -> tuple[Resolved, Store]:
    source = archive(mirror.url("/thing.tgz", sends(RELEASE)))
    return store.resolve(artifact(source)), store


def again(store: Store, mirror: Mirror) -> Resolved:
    return store.resolve(artifact(archive(f"{mirror.base}/thing.tgz")))


def test_tree_holds_the_selected_files_and_its_digest_is_theirs(store: Store, mirror: Mirror) -> None:
    found, _ = fetched(store, mirror)
    assert found.source == found.origin == "archive"
    assert found.path == store.root / "trees" / found.digest
    entries = read_tree(found.path)
    assert [(entry.path, entry.mode) for entry in entries] == [
        ("bin/tool", 0o555),
        ("lib/a.jar", 0o444),
        ("lib/b.jar", 0o444),
    ]
    assert tree_digest(entries) == found.digest
    sha256 = entries[1].sha256
    assert (found.path / JAR).samefile(store.root / "blobs/sha256" / sha256[:2] / sha256)


def test_second_time_it_comes_from_the_store_without_a_network(store: Store, mirror: Mirror) -> None:
    first, _ = fetched(store, mirror)
    second = again(store, mirror)
    assert (second.source, second.digest, second.notes) == ("store", first.digest, ())
    assert len(mirror.requests) == 1


def test_others_may_read_trees_and_blobs_whatever_the_umask(store: Store, mirror: Mirror) -> None:
    before = os.umask(0o077)
    try:
        found, _ = fetched(store, mirror)
    finally:
        os.umask(before)
    folders = [store.root, store.root / "trees", found.path, found.path / "lib", store.root / "blobs"]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o755}
    private = [path for path in store.root.iterdir() if path.name not in ("trees", "blobs")]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in private} == {0o700}


def edit(path: Path) -> None:
    """As somebody would who hides it: same size, same times."""
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(b"e" * before.st_size)
    path.chmod(0o444)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def settle(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have digests remembered at once, as they are two seconds after a file was made."""
    monkeypatch.setattr("ansible_collections.labctl.stacks.plugins.module_utils.store.disk.SETTLED", -(10**12))


def test_poisoned_blob_is_named_put_aside_and_fetched_again(
    store: Store, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(store.root, monkeypatch)
    first, _ = fetched(store, mirror)
    assert again(store, mirror).source == "store"
    edit(first.path / JAR)
    assert store.find(artifact(archive(f"{mirror.base}/thing.tgz"))) is None
    mended = again(store, mirror)
    assert (mended.source, mended.digest) == ("archive", first.digest)
    assert tree_digest(read_tree(mended.path)) == first.digest
    sha256 = next(entry.sha256 for entry in first.entries if entry.path == JAR)
    assert f"blob {sha256} ({JAR}) was damaged on disk" in mended.notes[0]
    kept = list((store.root / "quarantine").iterdir())
    assert [path.read_bytes()[:1] for path in kept] == [b"e"]
    assert again(store, mirror).source == "store"


@pytest.mark.parametrize(
    "harm",
    [
        lambda tree: (tree / "lib/evil.jar").write_bytes(b"evil"),
        lambda tree: (tree / JAR).unlink(),
        lambda tree: (tree / "bin/tool").chmod(0o755),
        lambda tree: (tree / "bin/tool").chmod(0o4555),
        lambda tree: [(tree / "lib").rename(tree.parent / "moved"), (tree / "lib").symlink_to(tree.parent / "moved")],
        lambda tree: [(tree / JAR).unlink(), (tree / JAR).symlink_to(tree / "lib/b.jar")],
    ],
    ids=["added", "removed", "mode", "setuid", "folder linked", "file linked"],
)
def test_harm_to_a_tree_is_mended_from_the_blobs(store: Store, mirror: Mirror, harm: object) -> None:
    first, _ = fetched(store, mirror)
    harm(first.path)  # type: ignore[operator]
    mended = again(store, mirror)
    assert mended.notes
    assert not (mended.path / "lib").is_symlink()
    assert tree_digest(read_tree(mended.path)) == first.digest
    assert len(mirror.requests) == 1


def test_truncated_record_means_fetching_again(store: Store, mirror: Mirror) -> None:
    first, _ = fetched(store, mirror)
    (record,) = (store.root / "records").iterdir()
    record.write_text(record.read_text()[:40])
    assert again(store, mirror).digest == first.digest
    assert len(mirror.requests) == 2


def test_next_source_is_tried_with_a_note(store: Store, mirror: Mirror) -> None:
    bad = archive(mirror.url("/bad.tgz", sends(b"", status=404)), name="first")
    good = archive(mirror.url("/good.tgz", sends(RELEASE)), name="second")
    found = store.resolve(artifact(bad, good))
    assert found.source == "second"
    assert "source first: " in found.notes[0]
    assert "404" in found.notes[0]


def test_without_any_source_every_one_is_named_with_its_reason(store: Store, mirror: Mirror) -> None:
    missing = archive(f"{mirror.base}/one", f"{mirror.base}/two", name="first")
    wrong = archive(mirror.url("/three", sends(b"<html>")), name="second")
    unpinned = archive(f"{mirror.base}/four", digest="unpinned", name="third")
    with pytest.raises(PreflightError, match="none of its sources gives it") as failure:
        store.resolve(artifact(missing, wrong, unpinned))
    reasons = {finding.where: finding.what for finding in failure.value.findings}
    assert list(reasons) == ["first", "second", "third"]
    assert reasons["first"].count("404") == 2
    assert "wrong digest" in reasons["second"]
    assert "unpinned" in reasons["third"]
    assert failure.value.exit_code == 3
    assert list((store.root / "trees").iterdir()) == list((store.root / "tmp").iterdir()) == []


def test_unpinned_archive_is_taken_only_when_accepted(
    store: Store, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpinned = artifact(archive(mirror.url("/thing.tgz", sends(RELEASE)), digest="unpinned"))
    monkeypatch.setenv("LABCTL_ACCEPT_UNPINNED", "another")
    with pytest.raises(PreflightError) as failure:
        store.resolve(unpinned)
    assert "--accept-unpinned" in failure.value.findings[0].mend
    assert mirror.requests == []
    accepting = Store(store.root, rules=store.rules, accept_unpinned=True)
    assert accepting.resolve(unpinned).source == "archive"


def test_unpinned_archive_is_accepted_by_name_in_the_environment(
    store: Store, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABCTL_ACCEPT_UNPINNED", "another, thing")
    unpinned = artifact(archive(mirror.url("/thing.tgz", sends(RELEASE)), digest="unpinned"))
    assert store.resolve(unpinned).source == "archive"


class Fixed(Source):
    """A source that takes in what it is told to, whatever it is known to give."""

    name = "fixed"
    key = "0" * 64

    def __init__(self, gives: bytes, pinned: list[Entry] | None, wants: str = "") -> None:
        super().__init__(WHERE)
        self.__dict__.update(gives=gives, pinned=pinned, wants=wants)

    @classmethod
    def parse(cls, fields: object, where: Where) -> Fixed:
        raise NotImplementedError

    def entries(self) -> list[Entry] | None:
        pinned: list[Entry] | None = self.__dict__["pinned"]
        return pinned

    def fetch(self, job: Job) -> list[Entry]:
        if wants := self.__dict__["wants"]:
            job.resolve(wants, None)
        sha256, size = job.blobs.add_stream(io.BytesIO(self.__dict__["gives"]))
        return [Entry("bin/tool", 0o555, size, sha256)]


def test_what_a_source_gives_must_be_what_the_catalogue_pins(store: Store) -> None:
    pinned = [Entry("bin/tool", 0o555, 4, hashlib.sha256(b"good").hexdigest())]
    with pytest.raises(PreflightError) as failure:
        store.resolve(artifact(Fixed(b"evil", pinned)))
    assert "not what the catalogue pins: bin/tool" in failure.value.findings[0].what
    assert not list((store.root / "trees").iterdir())
    assert store.resolve(artifact(Fixed(b"good", pinned))).source == "fixed"


def test_artefact_made_of_itself_is_an_error_and_no_deadlock(store: Store, tmp_path: Path) -> None:
    url = "https://example.org/x"
    (tmp_path / "thing.yml").write_text(
        "name: thing\nsummary: s\nlicence: MIT\ndefault: '1'\nversions:\n  '1':\n    sources:\n"
        f"      - archive: {{files: {{any: {{urls: ['{url}'], digest: unpinned}}}}, select: [{{from: x, to: y}}]}}\n"
    )
    with pytest.raises(InputError, match="makes thing of itself: thing of thing"):
        Store(store.root, rules=store.rules, folders=(tmp_path,)).resolve(artifact(Fixed(b"", None, wants="thing")))


def test_source_can_be_chosen_and_an_unknown_one_is_refused(store: Store, mirror: Mirror) -> None:
    first = archive(mirror.url("/one", sends(RELEASE)), name="first")
    second = archive(mirror.url("/two", sends(RELEASE)), name="second")
    assert store.resolve(artifact(first, second), source="second").source == "second"
    assert mirror.requests == ["/two"]
    with pytest.raises(InputError, match="no source 'third'"):
        store.resolve(artifact(first, second), source="third")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (tar(member("thing-1/bin/tool", b"x"), member("../evil", b"x")), "unsafe path"),
        (tar(member("other/file", b"x")), "selection finds nothing"),
        (tar(member("thing-1/share/lib/a.jar", b"1"), member("thing-1/bin/l", type=b"2", linkname="m")), "points to"),
    ],
)
def test_archive_that_cannot_be_used_leaves_no_tree(store: Store, mirror: Mirror, body: bytes, says: str) -> None:
    source = archive(mirror.url("/thing.tgz", sends(body)), digest=sha512(body))
    with pytest.raises(PreflightError) as failure:
        store.resolve(artifact(source))
    assert says in failure.value.report
    assert list((store.root / "trees").iterdir()) == []


def test_selected_links_become_what_they_point_to(store: Store, mirror: Mirror) -> None:
    body = tar(
        member("thing-1/bin/tool-1", b"tool", mode=0o755),
        member("thing-1/bin/tool", type=b"2", linkname="tool-1"),
        member("thing-1/bin/hard", type=b"1", linkname="thing-1/bin/tool-1"),
    )
    found = store.resolve(artifact(archive(mirror.url("/x", sends(body)), digest=sha512(body))))
    assert {entry.path: (found.path / entry.path).read_bytes() for entry in read_tree(found.path)} == {
        "bin/tool": b"tool",
        "bin/tool-1": b"tool",
        "bin/hard": b"tool",
    }


def test_pack_is_made_once_and_made_again_when_damaged(store: Store, mirror: Mirror) -> None:
    found, _ = fetched(store, mirror)
    pack = store.pack(found)
    body, made = pack.read_bytes(), pack.stat().st_ino
    assert store.pack(found).stat().st_ino == made
    pack.write_bytes(b"poison")
    assert store.pack(found).read_bytes() == body


def test_find_touches_nothing(store: Store, mirror: Mirror) -> None:
    wanted = artifact(archive(mirror.url("/thing.tgz", sends(RELEASE))))
    assert store.find(wanted) is None
    assert not store.root.exists()
    assert mirror.requests == []
    store.resolve(wanted)
    found = store.find(wanted)
    assert found is not None
    assert found.source == "store"


def test_store_that_cannot_be_written_says_so(tmp_path: Path, mirror: Mirror) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PreflightError, match="cannot be used") as failure:
        Store(tmp_path / "file" / "store").resolve(artifact(archive(f"{mirror.base}/x")))
    assert "LABCTL_CACHE_DIR" in failure.value.hint


SCRIPT = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store
    from unit.store.doubles import QUICK, archive, artifact
    found = Store(Path(sys.argv[1]), rules=QUICK).resolve(artifact(archive(sys.argv[2])))
    print(found.source, found.digest)
    """
)


def run(store: Store, url: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(store.root), url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )


def wait_until(true: Callable[[], bool]) -> None:
    """Until it is true, at most twenty seconds."""
    for _ in range(1000):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it never came to be")


def held(release: threading.Event, asked: threading.Event) -> Answer:
    """An answer whose second half comes when the test says so."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(RELEASE)))
        request.end_headers()
        request.wfile.write(RELEASE[:100])
        request.wfile.flush()
        asked.set()
        release.wait(20)
        request.wfile.write(RELEASE[100:])

    return answer


def test_two_processes_at_once_fetch_once(store: Store, mirror: Mirror) -> None:
    release, asked = threading.Event(), threading.Event()
    url = mirror.url("/thing.tgz", held(release, asked))
    runs = [run(store, url), run(store, url)]
    assert asked.wait(20)
    time.sleep(0.5)  # the other one has come to the lock by now, or will find it taken or the work done: all are fine
    release.set()
    said = sorted(process.communicate(timeout=30)[0].split() for process in runs)
    assert [words[0] for words in said] == ["archive", "store"]
    assert said[0][1] == said[1][1]
    assert mirror.requests == ["/thing.tgz"]


def test_killed_in_the_middle_of_a_download_leaves_nothing_that_counts(store: Store, mirror: Mirror) -> None:
    release, asked = threading.Event(), threading.Event()
    url = mirror.url("/thing.tgz", held(release, asked), sends(RELEASE))
    process = run(store, url)
    assert asked.wait(20)
    wait_until(lambda: any((store.root / "partial").glob("thing-1-x86_64-*")))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    release.set()
    assert any((store.root / "partial").iterdir()), "the test means to interrupt a download"
    assert not list((store.root / "trees").iterdir())
    assert again(store, mirror).source == "archive"
    assert not list((store.root / "tmp").iterdir())
    assert not list((store.root / "partial").iterdir())


def test_a_lab_is_remembered_in_a_store_that_nobody_used_yet(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache" / "store")
    store.remember_lab(tmp_path / "lab.lock")
    (note,) = (store.root / "labs").iterdir()
    assert note.read_text() == str(tmp_path / "lab.lock")
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o755, "hosts read the trees in it"
