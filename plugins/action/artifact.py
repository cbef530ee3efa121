# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of artifact: resolve them in the store, and bring them to hosts that cannot see the store."""

from __future__ import annotations

import random
import secrets
import time
from pathlib import Path
from typing import Any

from ansible import constants
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.lablock import LabLock
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue, folders
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Resolved, Store
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import listing_digest, tree_digest
from ansible_collections.labctl.stacks.plugins.plugin_utils.bulk import BulkAction, playing
from ansible_collections.labctl.stacks.plugins.plugin_utils.seeds import MANY, Place, Seeds

INTERNAL = {"trees", "store", "bring"}
#: Seconds between two looks for a host that has the files.
PAUSE = 0.2


class ActionModule(BulkAction):
    """Action of labctl.stacks.artifact."""

    MODULE = "artifact"
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module, and once more for each tree that it says the host needs, with that tree."""
        variables = task_vars or {}
        self._args: dict[str, Any] = {}
        self._resolved: dict[str, Resolved] = {}
        result = super().run(tmp, variables)
        if "needs" in result:
            while needs := result.pop("needs", []):
                result = joined(result, self._bring(self._resolved[needs[0]], variables))
            self.keep_digest(result, variables)
        for resolved in self._resolved.values():
            result.setdefault("warnings", []).extend(resolved.notes)
        return result

    def prepare(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """What the files must be, once the store has them; in check mode, as far as that is known without fetching."""
        if used := sorted(INTERNAL & args.keys()):
            raise InputError(f"option {used[0]!r} is not for use in playbooks", hint="Leave it out.")
        if args.get("state", "present") != "present":
            return args
        folder, in_lab = self._lab_folder(task_vars)
        store = Store(folders=folders(folder))
        lock = LabLock(folder) if in_lab and folder else None
        trees = {str(option["name"]): self._tree(option, store, lock) for option in wanted(args.get("artifacts"))}
        mounted = str(self._templar.template(task_vars.get("labctl_store") or ""))
        self._args = {**args, "trees": trees, "store": mounted}
        return self._args

    def _tree(self, option: dict[str, Any], store: Store, lock: LabLock | None) -> dict[str, Any]:
        """Resolve an artefact, and say what the module must know of its tree."""
        name, source = str(option["name"]), str(option.get("source") or "")
        version = str(option["version"]) if option.get("version") else None
        artifact = lock.wanted(name, version, store) if lock else catalogue(name, version, folders=store.folders)
        resolved: Resolved | None
        if self._task.check_mode:
            resolved = store.find(artifact, source=source, digest=lock.digest(artifact) if lock else "")
        else:
            resolved = lock.resolve(artifact, store, source=source) if lock else store.resolve(artifact, source=source)
        if resolved:
            self._resolved[name] = resolved
        entries = resolved.entries if resolved else store.expected(artifact, source=source)
        return {
            "version": artifact.version,
            "source": resolved.source if resolved else "",
            "digest": tree_digest(entries) if entries else "",
            "listing": listing_digest({entry.path: entry.size for entry in entries}),
            "files": len(entries),
            "bytes": sum(entry.size for entry in entries),
            "fetch": resolved is None,
        }

    def _lab_folder(self, task_vars: dict[str, Any]) -> tuple[Path | None, bool]:
        """The folder of the lab's file, else that of the inventory, and whether there is a lab, and so a lock.

        Entries of the lab's own lie there.
        """
        if file := self._templar.template(task_vars.get("labctl_lab_file") or ""):
            return Path(str(file)).parent, True
        return (Path(str(folder)) if (folder := task_vars.get("inventory_dir")) else None), False

    def _bring(self, resolved: Resolved, task_vars: dict[str, Any]) -> dict[str, Any]:
        """The files, and the module again with them: from the controller, or where many hosts want them, from a host.

        Peers that cannot be reached, or end in the middle, cost time and no more: the controller has the last word.
        """
        address = str(self._templar.template(task_vars.get("lab_address") or task_vars.get("ansible_host") or ""))
        if len(playing(task_vars)) < MANY or not address:
            return self._from_controller(resolved, task_vars)
        seeds = Seeds(Path(str(constants.DEFAULT_LOCAL_TMP)), resolved.digest)
        failed: set[str] = set()
        result: dict[str, Any] = {}
        while True:
            with seeds.place() as place:
                if place is not None:
                    return joined(result, self._from_controller(resolved, task_vars, place, address))
            if peers := [url for url in seeds.ready() if url not in failed]:
                peer = random.choice(peers)  # noqa: S311 - to spread the load
                result = joined(result, self._again(resolved, task_vars, peer=peer))
                if resolved.name not in result.get("needs", []):
                    return result
                failed.add(peer)
            elif seeds.coming:
                time.sleep(PAUSE)
            else:
                return joined(result, self._from_controller(resolved, task_vars))

    def _from_controller(
        self, resolved: Resolved, task_vars: dict[str, Any], place: Place | None = None, address: str = ""
    ) -> dict[str, Any]:
        """Send them, and where the host gets a place among the seeds, have it share them."""
        token = secrets.token_urlsafe(32)
        share = {"share": {"address": address, "token": token}} if place is not None else {}
        answer = self._again(resolved, task_vars, archive=self._send(resolved), **share)
        port = answer.pop("shared", 0)
        if place is not None and port:
            name = f"[{address}]" if ":" in address else address
            place.fill(f"http://{name}:{port}/{token}")
        return answer

    def _again(self, resolved: Resolved, task_vars: dict[str, Any], **bring: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name="labctl.stacks.artifact",
            module_args={**self._args, "bring": {"name": resolved.name, **bring}},
            task_vars=task_vars,
        )
        return answer

    def _send(self, resolved: Resolved) -> str:
        """The tree as one tar on the host, in the task's own temporary folder there; its path."""
        shell = self._connection._shell
        if shell.tmpdir is None:
            self._make_tmp_path()
        remote: str = shell.join_path(shell.tmpdir, f"{resolved.digest}.tar")
        self._transfer_file(str(Store().pack(resolved)), remote)
        self._fixup_perms2((shell.tmpdir, remote))
        return remote


def wanted(artifacts: Any) -> list[dict[str, Any]]:
    """The option ``artifacts``; InputError where it is not a list of mappings with a name and a path each."""
    if not isinstance(artifacts, list) or not all(isinstance(option, dict) for option in artifacts):
        raise InputError(
            "artifact needs artifacts, a list",
            hint="Give each a name and a path, as in artifacts: [{name: hadoop, path: /opt/hadoop}].",
        )
    for option in artifacts:
        if missing := [key for key in ("name", "path") if not option.get(key)]:
            raise InputError(f"artifact {option.get('name') or '?'} needs {' and '.join(missing)}")
    return artifacts


def joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The results of two calls of the module as that of one; what is needed is what the second says."""
    kept = {key: value for key, value in first.items() if key != "needs"}
    result = {**kept, **second, "changed": bool(first.get("changed") or second.get("changed"))}
    for key in ("changes", "diff", "warnings"):
        if key in first:
            result[key] = [*first[key], *second.get(key, [])]
    return result
