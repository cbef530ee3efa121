# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl artifacts, on a catalogue beside lab.yml whose archives a server on loopback has."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unit.cli.done import Done
from unit.store.doubles import RELEASE, Mirror, certificate, member, sends, sha512, tar
from unit.store.doubles import mirror as serve

Labctl = Callable[..., Done]

ENTRY = """\
name: {name}
summary: a thing
licence: MIT
default: "1"
versions:
  "1":
    sources:
      - archive:
          files: {{any: {{urls: ["{url}"], digest: "{digest}"}}}}
          select: [{{from: "thing-1/bin/**", to: bin}}]
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A server whose certificate this process trusts."""
    context, _ = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with serve(context) as served:
        yield served


def entry(lab: Path, name: str, url: str, digest: str = sha512(RELEASE)) -> None:
    (lab / "artifacts").mkdir(exist_ok=True)
    (lab / "artifacts" / f"{name}.yml").write_text(ENTRY.format(name=name, url=url, digest=digest))


def test_fetch_brings_several_at_once_and_says_where_they_are(labctl: Labctl, lab: Path, server: Mirror) -> None:
    for name in ("one", "two"):
        entry(lab, name, server.url(f"/{name}", sends(RELEASE)))
    done = labctl("artifacts", "fetch", "one", "two=1", "one", "--json")
    assert done.code == 0
    rows = json.loads(done.out)
    assert [(row["name"], row["version"], row["source"]) for row in rows] == [
        ("one", "1", "archive"),
        ("two", "1", "archive"),
    ]
    assert (Path(rows[0]["path"].replace("HERE", str(lab))) / "bin/tool").read_bytes() == b"#!/bin/sh\n"
    assert sorted(server.requests) == ["/one", "/two"]
    again = labctl("artifacts", "fetch", "one")
    assert again.out.splitlines()[1].split()[:3] == ["one", "1", "store"]
    assert len(server.requests) == 2


def test_fetch_names_all_that_cannot_be_had_and_keeps_the_rest(labctl: Labctl, lab: Path, server: Mirror) -> None:
    for name in ("one", "two"):
        entry(lab, name, f"{server.base}/{name}")
    entry(lab, "good", server.url("/good", sends(RELEASE)))
    done = labctl("artifacts", "fetch", "one", "good", "two")
    assert (done.code, done.out) == (3, "")
    assert "error: 2 of 3 artefacts cannot be had\n" in done.err
    for name in ("one", "two"):
        assert f"  artefact {name} 1, archive: {server.base}/{name}: the server answered 404" in done.err
    assert labctl("artifacts", "fetch", "good").code == 0
    assert server.requests.count("/good") == 1


def test_fetch_of_an_unpinned_file_has_to_be_asked_for(labctl: Labctl, lab: Path, server: Mirror) -> None:
    entry(lab, "one", server.url("/one", sends(RELEASE)), digest="unpinned")
    refused = labctl("artifacts", "fetch", "one")
    assert refused.code == 3
    assert "unpinned" in refused.err
    assert "--accept-unpinned" in refused.err
    assert server.requests == []
    accepted = labctl("artifacts", "fetch", "one", "--accept-unpinned")
    assert accepted.code == 0
    assert labctl("artifacts", "fetch", "one").code == 0


def test_list_shows_what_there_is_and_what_the_store_has(labctl: Labctl, lab: Path, server: Mirror) -> None:
    entry(lab, "one", server.url("/one", sends(RELEASE)))
    (before,) = [row for row in json.loads(labctl("artifacts", "list", "--json").out) if row["name"] == "one"]
    assert (before["digest"], before["bytes"], before["licence"], before["sources"]) == ("", 0, "MIT", ["archive"])
    assert labctl("artifacts", "fetch", "one").code == 0
    listed = labctl("artifacts", "list")
    (row,) = [line.split() for line in listed.out.splitlines() if line.startswith("one ")]
    assert (row[:3], row[3] == "-") == (["one", "1", "*"], False)
    assert any(line.startswith("hadoop ") for line in listed.out.splitlines())


def test_unknown_name_is_refused_with_the_nearest(labctl: Labctl, lab: Path) -> None:
    done = labctl("artifacts", "fetch", "hadop")
    assert done.code == 2
    assert done.err.startswith("error: no artefact 'hadop' in the catalogue\nhint: Did you mean 'hadoop'?")


def test_verify_reads_everything_and_ends_with_3_where_something_is_damaged(
    labctl: Labctl, lab: Path, server: Mirror
) -> None:
    entry(lab, "one", server.url("/one", sends(RELEASE)))
    row = json.loads(labctl("artifacts", "fetch", "one", "--json").out)[0]
    whole = labctl("artifacts", "verify")
    assert (whole.code, whole.out) == (0, "2 files, all of them right\n")
    tool = Path(row["path"].replace("HERE", str(lab))) / "bin/tool"
    tool.chmod(0o755)
    tool.write_bytes(b"evil")
    tool.chmod(0o555)
    damaged = labctl("artifacts", "verify")
    assert damaged.code == 3
    assert f"tree {row['digest']}: has files of digest" in damaged.err
    assert "hint: labctl artifacts fetch mends" in damaged.err
    assert json.loads(labctl("artifacts", "verify", "--json").out)["damaged"][0]["where"] == f"tree {row['digest']}"
    mended = labctl("artifacts", "fetch", "one")
    assert mended.code == 0
    assert "was put back" in mended.err
    assert labctl("artifacts", "verify").code == 0


def test_gc_keeps_to_the_budget(labctl: Labctl, lab: Path, server: Mirror) -> None:
    entry(lab, "one", server.url("/one", sends(RELEASE)))
    assert labctl("artifacts", "fetch", "one").code == 0
    assert labctl("artifacts", "gc", "--budget", "10GiB").out.startswith("0 ") is False
    foreseen = labctl("artifacts", "gc", "--budget", "0MiB", "--dry-run")
    assert foreseen.out.startswith("would remove tree ")
    assert labctl("artifacts", "gc", "--budget", "0MiB").code == 0
    assert labctl("artifacts", "gc", "--budget", "ten").code == 2
    assert labctl("artifacts", "fetch", "one").code == 0
    assert server.requests == ["/one", "/one"]


def test_add_pins_a_version_by_the_vendors_checksum_file(labctl: Labctl, lab: Path, server: Mirror) -> None:
    entry(lab, "one", f"{server.base}/one-1/one-1.tgz")
    release = tar(member("thing-2/bin/tool", b"new", mode=0o755))
    server.url("/one-2/one-2.tgz", sends(release))
    server.url("/one-2/one-2.tgz.sha512", sends(f"{sha512(release)[7:]}  one-2.tgz\n".encode()))
    done = labctl("artifacts", "add", "one", "2", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["digests"] == {f"{server.base}/one-2/one-2.tgz": sha512(release)}
    fetched = labctl("artifacts", "fetch", "one=2", "--json")
    assert json.loads(fetched.out)[0]["source"] == "archive"
    assert labctl("artifacts", "add", "one", "2").code == 2


def test_add_of_a_new_name_needs_to_know_what_it_is(labctl: Labctl, lab: Path, server: Mirror) -> None:
    tool = b"#!/bin/sh\n"
    for arch in ("amd64", "arm64"):
        server.url(f"/v1.2/tool-{arch}", sends(tool))
        server.url(f"/v1.2/tool-{arch}.sha256", sends(hashlib.sha256(tool).hexdigest().encode()))
    call = ("artifacts", "add", "tool", "1.2", "--url", server.base + "/v{version}/tool-{goarch}")
    assert "--licence" in labctl(*call).err
    assert labctl(*call, "--summary", "a tool", "--licence", "MIT").code == 0
    row = json.loads(labctl("artifacts", "fetch", "tool", "--json").out)[0]
    assert (Path(row["path"].replace("HERE", str(lab))) / "bin/tool").read_bytes() == tool
    assert "checksums:" in (lab / "artifacts/tool.yml").read_text()


@pytest.mark.parametrize(
    ("sums", "says"),
    [
        (None, "the server answered 404"),
        (b"<html>Log in</html>", "an HTML page came"),
        (b"1234  another.tgz", "says nothing of one-2.tgz"),
        (b"", "says nothing of one-2.tgz"),
    ],
    ids=["absent", "page", "other file", "empty"],
)
def test_bad_or_absent_checksum_file_leaves_no_entry(
    labctl: Labctl, lab: Path, server: Mirror, sums: bytes | None, says: str
) -> None:
    entry(lab, "one", f"{server.base}/one-1.tgz")
    before = (lab / "artifacts/one.yml").read_text()
    if sums is not None:
        server.url("/sums", sends(sums))
    done = labctl(
        "artifacts", "add", "one", "2", "--url", f"{server.base}/one-2.tgz", "--checksums", f"{server.base}/sums"
    )
    assert done.code == 3
    assert says in done.err
    assert "--accept-unpinned" in done.err
    assert (lab / "artifacts/one.yml").read_text() == before
    taken = labctl(
        "artifacts",
        "add",
        "one",
        "2",
        "--url",
        f"{server.base}/one-2.tgz",
        "--checksums",
        f"{server.base}/sums",
        "--accept-unpinned",
    )
    assert taken.code == 0
    assert "unpinned" in (lab / "artifacts/one.yml").read_text()


def test_build_is_for_what_has_a_source_that_builds(labctl: Labctl, lab: Path) -> None:
    entry(lab, "one", "https://example.org/one")
    done = labctl("artifacts", "build", "one")
    assert done.code == 2
    assert done.err == "error: one 1 is not built, only fetched\nhint: labctl artifacts fetch one=1\n"


def test_build_takes_the_source_that_builds_not_the_first(
    labctl: Labctl, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry(lab, "one", "https://example.org/one")
    path = lab / "artifacts" / "one.yml"
    go = "      - go: {toolchain: go1.26.8, lock: one, packages: {bin/one: example.org/one}}\n"
    path.write_text(path.read_text() + go)
    program = tmp_path / "bin" / "go"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'no compiler today' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    done = labctl("artifacts", "build", "one")
    assert done.code == 3
    assert "  go: go env failed: no compiler today" in done.err
    assert "archive" not in done.err
