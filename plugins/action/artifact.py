# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of artifact: resolve it in the store, and bring it to hosts that cannot see the store."""

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

INTERNAL = {"tree", "store", "archive", "peer", "share"}
#: Seconds between two looks for a host that has the files.
PAUSE = 0.2


class ActionModule(BulkAction):
    """Action of labctl.stacks.artifact."""

    MODULE = "artifact"
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module, and where it asks for the files, once more with them."""
        self._args: dict[str, Any] = {}
        self._resolved: Resolved | None = None
        result = super().run(tmp, task_vars)
        if result.pop("needs_archive", False) and self._resolved is not None:
            self._told: list[Any] = []
            result.update(self._bring(self._resolved, task_vars or {}))
            if self._told:
                result["warnings"] = [*self._told, *result.get("warnings", [])]
            self.keep_digest(result, task_vars or {})
        if self._resolved is not None:
            result.setdefault("warnings", []).extend(self._resolved.notes)
        return result

    def prepare(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """What the files must be, once the store has them; in check mode, as far as that is known without fetching."""
        if used := sorted(INTERNAL & args.keys()):
            raise InputError(f"option {used[0]!r} is not for use in playbooks", hint="Leave it out.")
        if args.get("state", "present") != "present":
            return args
        if missing := [key for key in ("name", "path") if not args.get(key)]:
            raise InputError(f"artifact needs {' and '.join(missing)}")
        folder, in_lab = self._lab_folder(task_vars)
        store, source = Store(folders=folders(folder)), str(args.get("source") or "")
        name, version = str(args["name"]), str(args["version"]) if args.get("version") else None
        if in_lab and folder:
            lock = LabLock(folder)
            artifact = lock.wanted(name, version, store)
            self._resolved = (
                store.find(artifact, source=source, digest=lock.digest(artifact))
                if self._task.check_mode
                else lock.resolve(artifact, store, source=source)
            )
        else:
            artifact = catalogue(name, version, folders=store.folders)
            find = store.find if self._task.check_mode else store.resolve
            self._resolved = find(artifact, source=source)
        entries = self._resolved.entries if self._resolved else store.expected(artifact, source=source)
        self._args = {
            **args,
            "part": args.get("part") or artifact.name,
            "version": artifact.version,
            "source": self._resolved.source if self._resolved else "",
            "store": str(self._templar.template(task_vars.get("labctl_store") or "")),
            "tree": {
                "digest": tree_digest(entries) if entries else "",
                "listing": listing_digest({entry.path: entry.size for entry in entries}),
                "files": len(entries),
                "bytes": sum(entry.size for entry in entries),
                "fetch": self._resolved is None,
            },
        }
        return self._args

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
        while True:
            with seeds.place() as place:
                if place is not None:
                    return self._from_controller(resolved, task_vars, place, address)
            if peers := [url for url in seeds.ready() if url not in failed]:
                peer = random.choice(peers)  # noqa: S311 - to spread the load
                answer = self._again(task_vars, peer=peer)
                if not answer.pop("needs_archive", False):
                    return answer
                # Why, which the next call's answer does not hold.
                self._told += answer.get("warnings", [])
                failed.add(peer)
            elif seeds.coming:
                time.sleep(PAUSE)
            else:
                return self._from_controller(resolved, task_vars)

    def _from_controller(
        self, resolved: Resolved, task_vars: dict[str, Any], place: Place | None = None, address: str = ""
    ) -> dict[str, Any]:
        """Send them, and where the host gets a place among the seeds, have it share them."""
        token = secrets.token_urlsafe(32)
        share = {"share": {"address": address, "token": token}} if place is not None else {}
        answer = self._again(task_vars, archive=self._send(resolved), **share)
        port = answer.pop("shared", 0)
        if place is not None and port:
            name = f"[{address}]" if ":" in address else address
            place.fill(f"http://{name}:{port}/{token}")
        return answer

    def _again(self, task_vars: dict[str, Any], **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name="labctl.stacks.artifact", module_args={**self._args, **more}, task_vars=task_vars
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
