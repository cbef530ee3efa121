# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl artifacts, on a catalogue beside lab.yml whose archives a server on loopback has."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unit.cli.done import Done
from unit.store.doubles import RELEASE, Mirror, certificate, sends, sha512
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
