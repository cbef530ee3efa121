# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the files of one section of a manifest, made as declared, all or none.

Used by config_tree for a role's files, by unit for unit files, by system for what systemd's own tools read.
Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Change, command
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError
from ansible_collections.labctl.stacks.plugins.module_utils.fileops import (
    Found,
    Staged,
    back_up,
    check_mode,
    check_path,
    ids_of,
    look,
    restore,
    sha256,
    stage,
)
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import ABSENT


@dataclass(frozen=True)
class FileSpec:
    """A file as it shall be. ``validate`` is a command line with %s for the file, "" for none."""

    path: str
    content: bytes = field(repr=False)
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"
    secret: bool = False
    validate: str = ""

    @property
    def attributes(self) -> str:
        """Owner, group and mode in a person's words."""
        return f"{self.owner}:{self.group} {self.mode}"


def check_specs(specs: list[FileSpec]) -> None:
    """InputError for a path that is relative or declared twice, a mode that is not octal, a validate without %s."""
    paths = [spec.path for spec in specs]
    for spec in specs:
        check_path(spec.path)
        check_mode(spec.path, spec.mode)
        if paths.count(spec.path) > 1:
            raise InputError(f"{spec.path} is declared twice", hint="declare it once")
        if spec.validate and "%s" not in spec.validate:
            raise InputError(f"{spec.path}: validate has no %s", hint="%s stands for the file to validate")


@dataclass
class Write:
    """A file to write, and what stands in its place."""

    spec: FileSpec
    found: Found | None
    secret: bool

    @property
    def new_content(self) -> bool:
        return self.found is None or self.found.kind != "file" or self.found.content != self.spec.content

    @property
    def change(self) -> Change:
        before = ABSENT if self.found is None else self.found.attributes
        if self.found and self.found.kind != "file":
            before = f"a {self.found.kind}"
        return Change(self.spec.path, before, self.spec.attributes + (", new content" if self.new_content else ""))


@dataclass
class Removal:
    """A file that no section declares any more: removed, or put back as it was before labctl."""

    path: str
    record: dict[str, Any]
    found: Found | None

    @property
    def change(self) -> Change:
        after = "removed" if self.record.get("before", ABSENT) == ABSENT else "as it was before labctl"
        return Change(self.path, self.found.attributes if self.found else ABSENT, after)


class ManagedFiles:
    """Plan, then apply. ``specs`` are all the files of the section; nothing is touched before :meth:`apply`."""

    def __init__(self, call: Call, specs: list[FileSpec]) -> None:
        self.call = call
        self.specs = specs
        self.writes: list[Write] = []
        self.removals: list[Removal] = []
        self._befores: dict[str, Any] = {}
        self._old = call.manifest.records(call.key, "files")

    def plan(self) -> list[Change]:
        """Compare with the host. InputError, ConvergeError for what cannot be done; nothing is written by then."""
        check_specs(self.specs)
        for spec in self.specs:
            found = look(spec.path)
            if found and found.kind in ("directory", "other"):
                kind = "directory" if found.kind == "directory" else "pipe, socket or device"
                raise ConvergeError(f"{spec.path} is a {kind} on this host, not a file", hint="remove it by hand")
            # What was secret, or belonged to somebody who kept it from others, must not show in a diff.
            private = spec.path not in self._old and found is not None and not int(found.mode, 8) & 0o004
            write = Write(spec, found, spec.secret or bool(self._old.get(spec.path, {}).get("secret")) or private)
            if write.new_content or (found and found.attributes != f"{spec.owner}:{spec.group} {spec.mode}"):
                self.writes.append(write)
            self._befores[spec.path] = self._observed(spec.path, found)
        for path, record in self._old.items():
            if path in self._befores or self.call.manifest.owners("files", path, excluding=self.call.key):
                continue
            found = look(path)
            if found or record.get("before", ABSENT) != ABSENT:
                self.removals.append(Removal(path, record, found))
        return [write.change for write in self.writes] + [removal.change for removal in self.removals]

    def _observed(self, path: str, found: Found | None) -> Any:
        """``before`` of a path; what is not ours yet is backed up when applied."""
        return self.call.manifest.before(self.call.key, "files", path, ABSENT if found is None else found)

    def records(self) -> list[dict[str, Any]]:
        """The section's records of these files, once applied."""
        return [self._record(spec) for spec in self.specs]

    def intent(self) -> list[dict[str, Any]]:
        """The records to write down before acting: what will be and what still is, so that a killed run loses none."""
        declared = {spec.path for spec in self.specs}
        return self.records() + [record for path, record in self._old.items() if path not in declared]

    def _record(self, spec: FileSpec) -> dict[str, Any]:
        record: dict[str, Any] = {
            "path": spec.path,
            "kind": "file",
            "owner": spec.owner,
            "group": spec.group,
            "mode": spec.mode,
            "before": self._befores[spec.path],
        }
        if spec.secret:
            return {**record, "secret": True, "hmac_sha256": self.call.manifest.hmac(spec.content)}
        return {**record, "sha256": sha256(spec.content)}

    def apply(self, intend: Callable[[], None]) -> None:
        """Stage every file, validate all, call ``intend`` (which writes the manifest), then rename all and remove.

        One refused validation, unknown owner or missing folder, and nothing is written.
        """
        for spec in self.specs:
            ids_of(spec.path, spec.owner, spec.group)
        staged: list[Staged] = []
        try:
            for write in self.writes:
                spec = write.spec
                staged.append(stage(spec.path, spec.content, spec.owner, spec.group, spec.mode))
                validate(spec, str(staged[-1].temporary))
            for path, before in self._befores.items():
                if isinstance(before, Found):
                    self._befores[path] = back_up(before, path, self.call.manifest.root / "backup")
            intend()
            for one in staged:
                one.commit()
        finally:
            for one in staged:
                one.discard()
        for removal in self.removals:
            restore(removal.path, removal.record.get("before", ABSENT), self.call.manifest.root / "backup")

    def diff(self) -> list[dict[str, str]]:
        """A diff of content per file; of secret files only that they differ."""
        diffs = []
        for write in self.writes:
            if write.new_content:
                before = write.found.content if write.found else b""
                diffs.append(content_diff(write.spec.path, before, write.spec.content, write.secret))
        for removal in self.removals:
            if removal.found and removal.found.kind == "file":
                secret = bool(removal.record.get("secret"))
                diffs.append(content_diff(removal.path, removal.found.content, b"", secret))
        return diffs


def content_diff(path: str, before: bytes, after: bytes, secret: bool) -> dict[str, str]:
    """One file's diff in the form Ansible shows; of secret and binary content only that it differs."""
    header = {"before_header": path, "after_header": path}
    if secret:
        return {**header, "before": "", "after": "content differs (secret)\n"}
    if b"\0" in before + after:
        return {**header, "before": "", "after": "content differs (binary)\n"}
    return {**header, "before": before.decode(errors="replace"), "after": after.decode(errors="replace")}


def validate(spec: FileSpec, temporary: str) -> None:
    """Run the file's checker on the staged file. ConvergeError if it refuses; a secret file's output is withheld."""
    if not spec.validate:
        return
    argv = [word.replace("%s", temporary) for word in shlex.split(spec.validate)]
    what = f"{spec.path}: validation by {argv[0]!r} failed, nothing was written"
    try:
        command(argv, timeout=60, what=what)
    except ConvergeError as exc:
        if spec.secret:
            raise ConvergeError(f"{what}; its output is withheld, as the file is secret") from None
        raise exc
