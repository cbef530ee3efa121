# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: directories of a section, made by systemd-tmpfiles; data stays unless purged.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Change, command
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError
from ansible_collections.labctl.stacks.plugins.module_utils.fileops import (
    check_mode,
    check_path,
    look,
    remove_tree,
    set_attributes,
)
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import ABSENT

_PLAIN = re.compile(r"[A-Za-z0-9_./@:+,-]+")


def tmpfiles_text(header: str, folders: list[dict[str, Any]]) -> str:
    """A tmpfiles.d(5) file, "" for none."""
    lines = []
    for folder in sorted(folders, key=lambda folder: str(folder["path"])):
        path = folder["path"].replace("%", "%%")
        lines.append(f"d {path} {folder['mode']} {folder['owner']} {folder['group']} -")
    return "\n".join([header, *lines, ""]) if lines else ""


def implied_parents(
    call: Call, paths: list[str], declared: set[str], old: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Parents of ``paths`` that nobody declares and that are missing now, or that labctl made earlier, shallow first.

    ``old`` are the section's records of directories. A parent that another section made is shared with it.
    """
    found = set()
    for path in paths:
        for parent in [str(parent) for parent in Path(path).parents][:-1]:
            ours = old.get(parent, {}).get("implied") or any(
                owner.record.get("before") == ABSENT for owner in call.manifest.owners("directories", parent, call.key)
            )
            if parent not in declared and (ours or not Path(parent).exists()):
                found.add(parent)
    return [{"path": parent, "implied": True} for parent in sorted(found)]


class Folders:
    """Plan and apply the directories of one section.

    Parents that have to be made on the way belong to the section too, so that removing leaves none of them.
    """

    def __init__(self, call: Call, options: list[dict[str, Any]], purge_data: bool) -> None:
        self.call = call
        self.purge_data = purge_data
        self.folders = [{**option, "mode": check_mode(option["path"], option["mode"])} for option in options]
        self.create = False
        self.kept: list[dict[str, Any]] = []
        self._gone: list[dict[str, Any]] = []
        self._old = call.manifest.records(call.key, "directories")
        self._before: dict[str, Any] = {}

    def plan(self) -> list[Change]:
        """Compare with the host, parents first."""
        paths = [folder["path"] for folder in self.folders]
        for path in paths:
            check_path(path)
            if not _PLAIN.fullmatch(path) or paths.count(path) > 1:
                raise InputError(f"directory {path!r} is there twice or holds a blank", hint="mend the path")
        self.folders += implied_parents(call=self.call, paths=paths, declared=set(paths), old=self._old)
        changes = []
        for folder in sorted(self.folders, key=lambda folder: str(folder["path"])):
            changes += self._plan_folder(folder)
        for path, record in sorted(self._old.items(), reverse=True):
            changes += self._plan_removal(path, record) if path not in self._before else []
        return changes

    def _plan_folder(self, folder: dict[str, Any]) -> list[Change]:
        path, found = folder["path"], look(folder["path"])
        if found and found.kind != "directory":
            raise ConvergeError(f"{path} is a {found.kind} on this host, not a directory", hint="remove it by hand")
        observed = {"owner": found.owner, "group": found.group, "mode": found.mode} if found else ABSENT
        self._before[path] = self.call.manifest.before(self.call.key, "directories", path, observed)
        if folder.get("implied"):
            return [] if found else [Change(path, ABSENT, "directory")]
        wanted = f"{folder['owner']}:{folder['group']} {folder['mode']}"
        if found and found.attributes == wanted:
            return []
        self.create = True
        return [Change(path, found.attributes if found else ABSENT, wanted)]

    def _plan_removal(self, path: str, record: dict[str, Any]) -> list[Change]:
        if self.call.manifest.owners("directories", path, self.call.key) or not Path(path).is_dir():
            return []
        if not self.purge_data and (record.get("data") or any(r["path"].startswith(f"{path}/") for r in self.kept)):
            # Data, or the way to data.
            self.kept.append(record)
            return []
        self._gone.append(record)
        ours = record.get("before", ABSENT) == ABSENT
        return [Change(path, "directory", "removed" if ours else "as it was before labctl")]

    @property
    def held(self) -> set[str]:
        """Owners and groups of data that stays."""
        return {record[key] for record in self.kept for key in ("owner", "group") if key in record}

    def text(self, header: str) -> str:
        """The tmpfiles.d file."""
        return tmpfiles_text(header, [folder for folder in self.folders if not folder.get("implied")])

    def apply(self, conf: str) -> None:
        """Make and mend."""
        if self.create:
            command(["systemd-tmpfiles", "--create", conf])

    def remove(self) -> None:
        """Remove what we made, deepest first, but for what others list and data that stays."""
        keep = self.call.manifest.identities("directories", self.call.key)
        keep |= self.call.manifest.identities("files", self.call.key)
        keep |= set(self._before) | {record["path"] for record in self.kept}
        for record in self._gone:
            before = record.get("before", ABSENT)
            if before == ABSENT:
                remove_tree(record["path"], keep)
            elif not record.get("implied"):
                set_attributes(record["path"], before["owner"], before["group"], before["mode"])

    def records(self) -> list[dict[str, Any]]:
        """The section's records, once applied; kept data is still ours to purge later."""
        return [
            {**{key: value for key, value in folder.items() if value}, "before": self._before[folder["path"]]}
            for folder in self.folders
        ] + self.kept

    def intent(self) -> list[dict[str, Any]]:
        """What to write down before acting."""
        records = self.records()
        known = {record["path"] for record in records}
        return records + [record for path, record in self._old.items() if path not in known]
