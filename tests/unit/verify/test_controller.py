# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller makes of a host's answer, with an ssh that says what the test wants."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.plugin_utils.bulk import digest_path, store_line
from labctl.lab.verify import Drift, HostExpectation, HostReport, compare_manifests, file_content, kept_digests, verify

A, B = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("expected", "found", "told"),
    [
        ({"x": A}, {"x": A}, []),
        ({"x": A}, {"x": B}, [("x", "sha256")]),
        ({"x": A}, {}, [("x", "on the host")]),
        ({}, {"x": A}, [("x", "not known to this lab folder")]),
        ({"x": A, "y": B}, {"y": B, "z": A}, [("x", "on the host"), ("z", "not known to this lab folder")]),
    ],
)
def test_manifests_are_compared_with_the_lab_folder(
    expected: dict[str, str], found: dict[str, str], told: list[tuple[str, str]]
) -> None:
    drift = compare_manifests(expected, found, frozenset())
    assert [(one.role, one.what) for one in drift] == told
    assert {one.kind for one in drift} <= {"manifest"}


def test_a_role_that_must_be_there_is_missed_even_if_nobody_remembers_it() -> None:
    assert [one.role for one in compare_manifests({}, {}, frozenset({"hdfs"}))] == ["hdfs"]


@pytest.mark.parametrize("host", ["worker1", "..", "a/b", ".hidden"])
def test_digests_are_found_where_the_bulk_modules_keep_them(tmp_path: Path, host: str) -> None:
    store_line(digest_path(tmp_path, host, "hdfs"), A)
    assert kept_digests(tmp_path, host) == {"hdfs": A}


def test_drift_is_told_in_a_line() -> None:
    assert str(Drift("r", "file", "/a", "mode", "0644", "0666")) == "file /a: mode: 0666 instead of 0644"
    assert str(Drift("r", "file", "/a", "stray file", "", "")) == "file /a: stray file"


@pytest.fixture
def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose shell text ssh runs in place of going anywhere."""
    script = tmp_path / "bin" / "ssh"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\ncat > /dev/null\n. {tmp_path}/answer\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    return tmp_path / "answer"


def look(folder: Path) -> HostReport:
    return verify(folder, folder / "config", {"box": HostExpectation()}, timeout=5)["box"]


@pytest.mark.parametrize(
    ("shell", "reachable", "error"),
    [
        ("echo 'Connection refused' >&2; exit 255", False, "Connection refused"),
        ("exit 127", True, "has no python3"),
        ("echo 'Traceback: boom' >&2; exit 1", True, "the verifier failed: Traceback: boom"),
        ("exit 0", True, "the verifier failed"),
        ("echo 'labctl {'", True, "its answer makes no sense"),
        ("echo 'labctl []'", True, "its answer makes no sense"),
        ('echo \'labctl {"manifests":{},"drift":[["x"]],"seals":{},"skipped":[]}\'', True, "its answer makes no sense"),
    ],
)
def test_no_sense_is_never_clean(answering: Path, shell: str, reachable: bool, error: str) -> None:
    answering.write_text(shell)
    report = look(answering.parent)
    assert not report.clean
    assert report.reachable is reachable
    assert error in report.error


def test_a_hosts_words_cannot_steer_a_terminal(answering: Path) -> None:
    row = ["web", "file", "/etc/\x1b[2Jx", "content", "\u202e", "b\nc"]
    answer = json.dumps({"manifests": {}, "drift": [row], "seals": {}, "skipped": []})
    answering.write_text(f"cat <<'END'\nlabctl {answer}\nEND\n")
    (drift,) = look(answering.parent).drift
    assert str(drift).isprintable()
    assert drift.item == "/etc/\\x1b[2Jx"


def test_a_host_may_not_hand_out_what_was_not_asked_for(answering: Path) -> None:
    text = json.dumps({"sections": {"a/main": {"files": [{"path": "/etc/a"}, {"path": "/etc/s", "secret": True}]}}})
    import hashlib

    digest = hashlib.sha256(text.encode()).hexdigest()
    store_line(digest_path(answering.parent, "box", "web"), digest)
    answer = {"manifests": {"web": text}, "contents": {"/etc/a": "YQ==", "/etc/s": "cw==", "/etc/o": "bw=="}}
    answering.write_text(f"cat <<'END'\nlabctl {json.dumps(answer)}\nEND\n")
    folder = answering.parent
    assert file_content(folder, folder / "config", "box", ["/etc/a", "/etc/s"]) == {"/etc/a": b"a"}
    store_line(digest_path(folder, "box", "web"), A)
    assert file_content(folder, folder / "config", "box", ["/etc/a"]) == {}


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, labctl.lab.verify; "
        "print([name for name in ('ansible', 'pydantic', 'typer', 'rich', 'yaml') if name in sys.modules])"
    )
    path = ":".join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": path}, check=True
    )
    assert done.stdout.strip() == "[]"
