# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading YAML with lines: what is admitted, what is refused, and where each finding points."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.labfile import MAX_BYTES, read_document, shown


def findings(tmp_path: Path, content: str | bytes) -> list[str]:
    """Everything said about a file of this content, whether it stopped the reading or not."""
    path = tmp_path / "lab.yml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.chdir(tmp_path)
    try:
        return [str(finding) for finding in read_document(path).findings]
    except InputError as exc:
        return [str(finding) for finding in exc.findings] or [str(exc)]


@pytest.fixture(autouse=True)
def _back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_plain_yaml_becomes_plain_data_with_lines(tmp_path: Path) -> None:
    path = tmp_path / "lab.yml"
    path.write_text("a: 1\nb:\n  - x\n  - {c: true, d: 1.5, e: null, f: 'no'}\n", encoding="utf-8")
    document = read_document(path)
    assert document.data == {"a": 1, "b": ["x", {"c": True, "d": 1.5, "e": None, "f": "no"}]}
    assert document.findings == []
    assert document.where(("b", 1, "c")) == "lab.yml:4 b[1].c"
    assert document.where(("b", 7, "z")) == "lab.yml:2 b[7].z"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ["lab.yml:1: the file is empty"]),
        ("  \n\n", ["lab.yml:1: the file is empty"]),
        ("# only a comment\n", ["lab.yml:1: the file is empty"]),
        (b"a: \xff\xfe", ["lab.yml:1: this is not text in UTF-8 (is it the right file?)"]),
        (b"\x7fELF\x00\x00", ["lab.yml:1: control character U+007F (is it the right file?)"]),
        ("a: b\nc: \x00", ["lab.yml:2: control character U+0000 (is it the right file?)"]),
        ("a: 1\n\tb: 2\n", ["lab.yml:2: a tab stands where YAML wants spaces"]),
        ("a: 1\na: 2\n", ["lab.yml:2 a: this key is already there, on line 1 (keep one)"]),
        ("a: no\n", ['lab.yml:1 a: YAML reads no as false (write "no" for the word, or false)']),
        ("a: On\n", ['lab.yml:1 a: YAML reads On as true (write "On" for the word, or true)']),
        ("a: 010\n", ['lab.yml:1 a: YAML reads 010 as a number in another base or form (write "010" for the text)']),
        ("a: 1:30\n", ['lab.yml:1 a: YAML reads 1:30 as a number in another base or form (write "1:30" for the text)']),
        ("a: .nan\n", ['lab.yml:1 a: YAML reads .nan as a special number (write ".nan" for the text)']),
        ("a: 2020-01-01\n", ['lab.yml:1 a: YAML reads 2020-01-01 as a date (write "2020-01-01" for the text)']),
        ("no: 1\n", ['lab.yml:1 no: YAML reads this key as bool, not text (write "no")']),
        ("[a]: 1\n", ["lab.yml:1: a key must be text, this is a collection"]),
        (
            "a: &x 1\nb: *x\n",
            ["lab.yml:1: anchor &x (write the value out)", "lab.yml:2: alias *x (write the value out)"],
        ),
        (
            "a: !!python/object:os.system x\n",
            ['lab.yml:1: tag "tag:yaml.org,2002:python/object:os.system" (write a plain value)'],
        ),
        ("a: !vault x\n", ['lab.yml:1: tag "!vault" (write a plain value)']),
        ("a: 1\n---\nb: 1\n", ["lab.yml:2: a second document starts here; only one is read"]),
        ("[" * 200 + "]" * 200, ["lab.yml:1: nested more than 20 levels deep"]),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_refused(tmp_path: Path, content: str | bytes, expected: list[str]) -> None:
    assert findings(tmp_path, content) == expected


def test_a_file_that_explodes_through_aliases_is_refused_unexpanded(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    said = findings(tmp_path, "\n".join(lines))
    assert said[0] == "lab.yml:1: anchor &a0 (write the value out)"
    assert len(said) <= 50


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    assert findings(tmp_path, b"a" * (MAX_BYTES + 1)) == ["lab.yml:1: the file is larger than 256 KiB"]


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name, said in (
        ("missing", "there is no file missing"),
        ("fifo", "fifo is not a file"),
        (".", ". is not a file"),
    ):
        with pytest.raises(InputError) as caught:
            read_document(tmp_path / name)
        assert str(caught.value) == said


def test_nothing_that_is_shown_can_drive_a_terminal() -> None:
    assert shown("a\x1b[31m\n\u202eb") == '"a\\x1b[31m\\n\\u202eb"'
    assert len(shown("x" * 500)) <= 62
