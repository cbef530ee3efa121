# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what config_tree does: a role's files and closed folders.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Change, Outcome
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError
from ansible_collections.labctl.stacks.plugins.module_utils.fileops import (
    check_mode,
    check_path,
    ids_of,
    look,
    make_folder,
    put_aside,
    remove_tree,
    set_attributes,
    sha256,
)
from ansible_collections.labctl.stacks.plugins.module_utils.folders import implied_parents
from ansible_collections.labctl.stacks.plugins.module_utils.managed_files import FileSpec, ManagedFiles
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import ABSENT, Manifest


def decoded(path: str, content_b64: str | None) -> bytes:
    """The content an action sent, in a new value: the options themselves are what Ansible logs and returns."""
    try:
        return base64.b64decode((content_b64 or "").encode(), validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{path}: content_b64 is not base64", hint="give content, the action encodes it") from None


def file_spec(option: dict[str, Any]) -> FileSpec:
    """One entry of ``files`` as a spec."""
    path = option["path"]
    return FileSpec(
        path=path,
        content=decoded(path, option["content_b64"]),
        owner=option["owner"],
        group=option["group"],
        mode=check_mode(path, option["mode"]),
        secret=bool(option["secret"]),
        validate=option["validate"] or "",
    )


def digest(manifest: Manifest, specs: list[FileSpec], create_key: bool) -> str:
    """sha256 over all files' path, mode, owner, group and content; equal in check mode and in the run.

    A secret's content goes in keyed, so that the digest, which results show, tells nothing of it. (Where no key exists
    yet, no secret was ever written on the host: then the check's digest differs from the old one, as the run's does.)
    """
    rows = [
        [
            spec.path,
            spec.mode,
            spec.owner,
            spec.group,
            manifest.hmac(spec.content, create=create_key) if spec.secret else sha256(spec.content),
        ]
        for spec in sorted(specs, key=lambda spec: spec.path)
    ]
    return sha256(json.dumps(rows).encode())


def recorded_digest(records: list[dict[str, Any]]) -> str:
    """:func:`digest` of a section as its records of files tell it."""
    rows = [
        [
            record["path"],
            record["mode"],
            record["owner"],
            record["group"],
            record.get("hmac_sha256") or record["sha256"],
        ]
        for record in sorted(records, key=lambda record: str(record["path"]))
    ]
    return sha256(json.dumps(rows).encode())


class ClosedFolders:
    """The ``directories`` of a config_tree call: made as declared, and without files that nobody declares."""

    def __init__(self, call: Call, options: list[dict[str, Any]], files: list[FileSpec]) -> None:
        self.call = call
        self.options = [{**option, "mode": check_mode(option["path"], option["mode"])} for option in options]
        self.files = files
        self.strays: list[Path] = []
        self.missing_parents: list[str] = []
        self.gone: list[dict[str, Any]] = []
        self.wrong: list[dict[str, Any]] = []
        self._implied: list[dict[str, Any]] = []
        self._befores: dict[str, Any] = {}
        self._old = call.manifest.records(call.key, "directories")

    def plan(self) -> list[Change]:
        """Compare with the host, parents before what lies in them."""
        changes = []
        declared = {spec.path for spec in self.files} | self.call.manifest.identities("files", self.call.key)
        declared |= self.call.manifest.identities("links", self.call.key)
        for option in sorted(self.options, key=lambda option: str(option["path"])):
            path = option["path"]
            check_path(path)
            found = look(path)
            if found and found.kind != "directory":
                raise ConvergeError(f"{path} is a {found.kind} on this host, not a directory", hint="remove it by hand")
            wanted = f"{option['owner']}:{option['group']} {option['mode']}"
            observed = {"owner": found.owner, "group": found.group, "mode": found.mode} if found else ABSENT
            self._befores[path] = self.call.manifest.before(self.call.key, "directories", path, observed)
            if found is None or found.attributes != wanted:
                self.wrong.append(option)
                changes.append(Change(path, found.attributes if found else ABSENT, wanted))
            self.strays += self._strays_in(path, declared) if found else []
        paths = [option["path"] for option in self.options]
        every = [*paths, *(spec.path for spec in self.files)]
        self._implied = implied_parents(self.call, every, set(paths), self._old)
        for parent in self._implied:
            path = parent["path"]
            exists = Path(path).is_dir()
            observed = "present" if exists else ABSENT
            parent["before"] = self.call.manifest.before(self.call.key, "directories", path, observed)
            self._befores[path] = parent["before"]
            if not exists:
                self.missing_parents.append(path)
                changes.append(Change(path, ABSENT, "directory"))
        for path, record in sorted(self._old.items(), reverse=True):
            others = self.call.manifest.owners("directories", path, excluding=self.call.key)
            if path not in self._befores and not others and Path(path).is_dir():
                self.gone.append(record)
                changes.append(
                    Change(path, "directory", "removed" if record.get("before", ABSENT) == ABSENT else "as before")
                )
        return changes + [Change(str(path), "stray file", "removed, kept in backup") for path in self.strays]

    def _strays_in(self, path: str, declared: set[str]) -> list[Path]:
        """Files of a closed folder that neither this call nor any other section lists, and that are not about to go."""
        leaving = set(self.call.manifest.records(self.call.key, "files"))
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        names = [entry.path for entry in entries if not entry.is_dir(follow_symlinks=False)]
        return [Path(name) for name in names if name not in declared | leaving]

    def records(self) -> list[dict[str, Any]]:
        """``entries`` are the names this section's files have there; what belongs in the folder is every section's."""
        names = [Path(spec.path) for spec in self.files]
        return [
            {
                **{key: option[key] for key in ("path", "owner", "group", "mode")},
                "kind": "closed",
                "entries": sorted(name.name for name in names if str(name.parent) == option["path"]),
                "before": self._befores[option["path"]],
            }
            for option in self.options
        ] + self._implied

    def intent(self) -> list[dict[str, Any]]:
        """What to write down before acting."""
        return self.records() + [record for path, record in self._old.items() if path not in self._befores]

    def make(self) -> None:
        """Make and mend the folders; before the files."""
        for option in self.options:
            ids_of(option["path"], option["owner"], option["group"])
        parents = [{"path": path, "owner": "root", "group": "root", "mode": "0755"} for path in self.missing_parents]
        for option in sorted([*self.wrong, *parents], key=lambda option: str(option["path"])):
            act = set_attributes if Path(option["path"]).is_dir() else make_folder
            act(option["path"], option["owner"], option["group"], option["mode"])

    def clear(self) -> None:
        """Move strays away and remove folders that are no longer declared; after the files."""
        for stray in self.strays:
            put_aside(stray, self.call.manifest.root / "backup" / "stray")
        for record in self.gone:
            before = record.get("before", ABSENT)
            if record.get("implied"):
                with suppress(OSError):
                    Path(record["path"]).rmdir()
            elif before == ABSENT:
                kept = self.call.manifest.identities("files", self.call.key)
                kept |= self.call.manifest.identities("directories", self.call.key)
                remove_tree(record["path"], kept | set(self._befores) | {spec.path for spec in self.files})
            else:
                set_attributes(record["path"], before["owner"], before["group"], before["mode"])


def converge(call: Call, file_options: list[dict[str, Any]], folder_options: list[dict[str, Any]]) -> Outcome:
    """Make exactly these files and closed folders the section's; with none of either, undo the section."""
    specs = [file_spec(option) for option in file_options]
    files = ManagedFiles(call, specs)
    folders = ClosedFolders(call, folder_options, specs)
    changes = folders.plan() + files.plan()
    outcome = Outcome(changes=changes, diff=files.diff())
    outcome.values = {
        "digest": digest(call.manifest, specs, create_key=not call.check),
        "files_changed": sorted(write.spec.path for write in files.writes),
        "removed": sorted([removal.path for removal in files.removals] + [str(stray) for stray in folders.strays]),
    }
    if call.check:
        return outcome

    def intend() -> None:
        call.record({"files": files.intent(), "directories": folders.intent()})

    # The folders come first, as files are staged in them; what a killed run leaves of them is in the manifest.
    if folders.wrong or folders.missing_parents:
        call.record({"files": list(call.manifest.records(call.key, "files").values()), "directories": folders.intent()})
    folders.make()
    files.apply(intend)
    folders.clear()
    call.record({"files": files.records(), "directories": folders.records()})
    return outcome


def present(call: Call) -> Outcome:
    """``state=present`` of config_tree."""
    return converge(call, call.params["files"], call.params["directories"])


def absent(call: Call) -> Outcome:
    """``state=absent``: the section's files and folders go, or become what they were before labctl."""
    outcome = converge(call, [], [])
    outcome.values["digest"] = ""
    return outcome
