# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: reads a YAML file into plain data that still knows on which line each key stands.

Only the harmless part of YAML is admitted: one document, no anchors, aliases or tags, no repeated keys, no
bare word that YAML 1.1 reads as something else than it looks like (``no``, ``010``, ``1:30``, a date).
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .errors import Finding, InputError

#: A place in the file: the keys and list positions that lead to it.
Path_ = tuple[str | int, ...]

#: Far above any real lab file, far below what would keep a parser busy.
MAX_BYTES = 256 * 1024
MAX_DEPTH = 20

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"


def shown(value: object) -> str:
    """A value as it may be printed: quoted where it is text, on one line, without control characters, cut at 60."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = str(value)
    if isinstance(value, str):
        safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:61])
        return f'"{safe[:57]}..."' if len(safe) > 60 or len(text) > 60 else f'"{safe}"'
    return text if len(text) <= 60 else f"{text[:57]}..."


def key_text(path: Path_) -> str:
    """``hosts.worker.groups[0]``, safe to print."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = part if re.fullmatch(r"[\w-]{1,60}", part, re.ASCII) else shown(part)
            text += f".{plain}" if text else plain
    return text


@dataclass
class Document:
    """Plain data of one file, the line of each key, and what was wrong so far."""

    name: str
    data: Any = None
    lines: dict[Path_, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def where(self, path: Path_) -> str:
        """``lab.yml:7 hosts.worker.count``; a key that is not there gets the line of what should hold it."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        line = self.lines.get(known, 1)
        return f"{self.name}:{line} {key_text(path)}".rstrip()

    def add(self, path: Path_, what: str, mend: str = "") -> None:
        self.findings.append(Finding(self.where(path), what, mend))


def display_name(path: Path) -> str:
    """A file's name for messages: relative where it lies below the current folder."""
    try:
        text = str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        text = str(path)
    return text if text.isprintable() else shown(text)


def read_document(path: Path) -> Document:
    """Read and parse ``path``. InputError where it cannot be read as YAML at all; lesser faults are in ``findings``."""
    document = Document(display_name(path))
    text = _read_text(path, document.name)
    try:
        _look_through(text, document)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as exc:
        raise _refused(document.name, _line_of(exc), _yaml_problem(exc)) from exc
    if root is None:
        raise _refused(document.name, 1, "the file is empty")
    document.data = _plain(root, (), document)
    return document


def _refused(name: str, line: int, what: str, mend: str = "") -> InputError:
    return InputError(f"{name} cannot be read", findings=(Finding(f"{name}:{line}", what, mend),))


def _read_text(path: Path, name: str) -> str:
    try:
        # O_NONBLOCK: a FIFO in the file's place must not hold us for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise InputError(f"there is no file {name}", hint="labctl init writes one") from None
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise InputError(f"{name} cannot be read: {reason}") from exc
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{name} is not a file")
    with os.fdopen(descriptor, "rb") as stream:
        raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise _refused(name, 1, f"the file is larger than {MAX_BYTES // 1024} KiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise _refused(name, line, "this is not text in UTF-8", "is it the right file?") from exc
    bad = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    if bad:
        line = text.count("\n", 0, bad.start()) + 1
        raise _refused(name, line, f"control character U+{ord(bad.group()):04X}", "is it the right file?")
    if not text.strip():
        raise _refused(name, 1, "the file is empty")
    return text


def _line_of(exc: yaml.YAMLError) -> int:
    mark = getattr(exc, "problem_mark", None) or getattr(exc, "context_mark", None)
    return mark.line + 1 if mark else 1


def _yaml_problem(exc: yaml.YAMLError) -> str:
    problem = str(getattr(exc, "problem", "") or exc).splitlines()[0]
    if "'\\t'" in problem or "tab" in problem.lower():
        return "a tab stands where YAML wants spaces"
    return f"this is not YAML: {problem}"


def _look_through(text: str, document: Document) -> None:
    """Refuse, before anything is built of it, what could make a small file large or deep."""
    depth = documents = 0
    refused: list[Finding] = []
    events: Iterator[Any] = yaml.parse(text, Loader=_Loader)
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                refused.append(Finding(f"{document.name}:{line}", "a second document starts here; only one is read"))
                break
        elif isinstance(event, yaml.AliasEvent):
            refused.append(Finding(f"{document.name}:{line}", f"alias *{event.anchor}", "write the value out"))
        elif getattr(event, "anchor", None):
            refused.append(Finding(f"{document.name}:{line}", f"anchor &{event.anchor}", "write the value out"))
        elif getattr(event, "tag", None):
            refused.append(Finding(f"{document.name}:{line}", f"tag {shown(event.tag)}", "write a plain value"))
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                refused.append(Finding(f"{document.name}:{line}", f"nested more than {MAX_DEPTH} levels deep"))
                break
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if len(refused) >= 50:
            break
    if refused:
        raise InputError(f"{document.name} is not a valid lab file", findings=tuple(refused))


def _plain(node: yaml.Node, path: Path_, document: Document) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, index), document) for index, item in enumerate(node.value)]
    return _scalar(node, path, document)


def _mapping(node: yaml.MappingNode, path: Path_, document: Document) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            document.findings.append(Finding(f"{document.name}:{line}", "a key must be text, this is a collection"))
            continue
        key = str(key_node.value)
        here: Path_ = (*path, key)
        if key_node.tag != f"{_TAG}str":
            where = f"{document.name}:{line} {key_text(here)}"
            kind = key_node.tag.removeprefix(_TAG)
            document.findings.append(Finding(where, f"YAML reads this key as {kind}, not text", f'write "{key[:60]}"'))
        if key in result:
            where = f"{document.name}:{line} {key_text(here)}"
            first = document.lines[here]
            document.findings.append(Finding(where, f"this key is already there, on line {first}", "keep one"))
            # The second one is looked through too, so that its own faults show in the same go.
            _plain(value_node, here, document)
            continue
        document.lines[here] = line
        result[key] = _plain(value_node, here, document)
    return result


def _scalar(node: yaml.Node, path: Path_, document: Document) -> Any:
    kind = node.tag.removeprefix(_TAG)
    text = str(node.value)
    if kind == "str":
        return text
    if kind == "null":
        return None
    if kind == "bool":
        if text in ("true", "false", "True", "False", "TRUE", "FALSE"):
            return text.lower() == "true"
        boolean = text.lower() in ("yes", "on", "y")
        other = "true" if boolean else "false"
        document.add(path, f"YAML reads {text} as {other}", f'write "{text}" for the word, or {other}')
        return text
    if kind == "int" and re.fullmatch(r"[-+]?(0|[1-9][0-9]{0,18})", text):
        return int(text)
    if kind == "float" and re.fullmatch(r"[-+]?[0-9]{1,30}\.[0-9]{0,30}([eE][-+][0-9]{1,4})?", text):
        number = float(text)
        if math.isfinite(number):
            return number
    what = {"int": "a number in another base or form", "float": "a special number", "timestamp": "a date"}
    document.add(path, f"YAML reads {shown(text)[1:-1]} as {what.get(kind, kind)}", f"write {shown(text)} for the text")
    return text
