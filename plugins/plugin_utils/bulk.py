# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the action base of the bulk modules.

It runs the module of the same name once and keeps the sha256 of the manifest that the module left on the host in the
lab folder, so that a host does not vouch for itself. The same under ``labctl`` and plain ``ansible-playbook``.
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, LabError
from ansible_collections.labctl.stacks.plugins.module_utils.paths import chown_to_caller


class BulkAction(ActionBase):  # type: ignore[misc]
    """A bulk module's action: ``prepare`` its options on the controller, run it, keep its manifest's digest.

    A subclass names its module by ``MODULE`` and may override :meth:`prepare`, which gets a copy of the task's
    options and the task's variables, and returns the module's options; a LabError from it fails the task.
    """

    MODULE = ""
    TRANSFERS_FILES = False

    def prepare(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Turn the task's options into the module's."""
        return args

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module once; the result is the module's own."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        try:
            args = self.prepare(dict(self._task.args), variables)
        except LabError as exc:
            raise AnsibleActionFail("\n".join(filter(None, [exc.report, exc.hint and f"hint: {exc.hint}"]))) from exc
        answer = self._execute_module(module_name=f"labctl.stacks.{self.MODULE}", module_args=args, task_vars=variables)
        result.update(answer)
        self.keep_digest(result, variables)
        return result

    def keep_digest(self, result: dict[str, Any], task_vars: dict[str, Any]) -> None:
        """Store ``result["manifest"]["sha256"]`` in the lab folder, also when the module failed half-way.

        Nothing happens in check mode or outside a lab (no ``labctl_lab_dir``).
        """
        manifest = result.get("manifest")
        lab_dir = self._templar.template(task_vars.get("labctl_lab_dir", ""))
        if self._task.check_mode or not lab_dir or not isinstance(manifest, dict):
            return
        host = str(self._task.delegate_to or task_vars["inventory_hostname"])
        path = digest_path(Path(str(lab_dir)), host, str(manifest["role"]))
        store_line(path, str(manifest.get("sha256") or ""))


def lab_folder(templar: Any, variables: Mapping[str, Any]) -> Path | None:
    """The folder of ``labctl_lab_dir``, else ``.labctl`` beside the inventory; None where that is not a file."""
    if lab_dir := templar.template(variables.get("labctl_lab_dir") or ""):
        return Path(str(lab_dir)).absolute()
    if inventory_dir := variables.get("inventory_dir"):
        return Path(str(inventory_dir)).absolute() / ".labctl"
    return None


def playing(variables: Mapping[str, Any]) -> list[str]:
    """The hosts that a task may yet run on: of the play, or of its batch, those that did not fail."""
    hosts: list[str] = variables.get("ansible_play_hosts", [])
    return [host for host in hosts if host in variables.get("ansible_play_batch", hosts)]


def digest_path(lab_dir: Path, host: str, role: str) -> Path:
    """Where the lab folder keeps the sha256 of a role's manifest on a host. Both names become one path part each."""
    return host_folder(lab_dir, host) / f"{_part(role)}.sha256"


def host_folder(lab_dir: Path, host: str) -> Path:
    """Where the lab folder keeps what is known of a host's own state."""
    return lab_dir / "manifests" / _part(host)


def _part(name: str) -> str:
    return name.replace("/", "_").lstrip(".") or "_"


def store_line(path: Path, text: str) -> None:
    """Write (0600, atomic, folders 0700, the calling user's) or, for an empty text, remove a file of one line."""
    if not text:
        with suppress(FileNotFoundError):
            path.unlink()
        for folder in (path.parent, path.parent.parent):
            with suppress(OSError):
                folder.rmdir()
        return
    content = f"{text}\n"
    with suppress(FileNotFoundError):
        if path.read_text() == content:
            return
    make_private(path.parent)
    descriptor, name = tempfile.mkstemp(prefix=".", dir=str(path.parent))
    with os.fdopen(descriptor, "w") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    chown_to_caller(Path(name))
    Path(name).replace(path)


def make_private(folder: Path) -> None:
    """Make a folder with its parents, all 0700 and the calling user's; existing ones are left."""
    if folder.exists():
        return
    make_private(folder.parent)
    # Another fork may make it at the same moment.
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        chown_to_caller(folder)


def with_encoded_content(options: Any, name: str, *, required: bool) -> Any:
    """A list of options in which each ``content`` has become ``content_b64``, which the module never logs.

    Other shapes are left for the module to refuse. InputError naming the entry for a content that is not a string: a
    template that gives a dictionary or None is a mistake, and Python's repr of it is no configuration.
    """
    if not isinstance(options, list) or not all(isinstance(option, dict) for option in options):
        return options
    encoded = []
    for option in options:
        entry = {key: value for key, value in option.items() if key != "content"}
        if "content" in option:
            entry["content_b64"] = _encoded(option["content"], str(option.get(name, f"an entry without {name}")))
        elif required:
            where = option.get(name, "a file")
            raise InputError(f"{where}: content is missing", hint="give a string; an empty one makes an empty file")
        encoded.append(entry)
    return encoded


def _encoded(content: Any, where: str) -> str:
    if not isinstance(content, str):
        # Ansible's own classes stand for the plain ones, and would not tell a user anything.
        kinds = {bool: "a boolean", int: "a number", float: "a number", dict: "a dictionary", list: "a list"}
        kind = next((words for plain, words in kinds.items() if isinstance(content, plain)), "empty (null)")
        raise InputError(
            f"{where}: content is {kind}, not a string",
            hint="pass it through a filter such as to_nice_yaml or to_json, or a lookup of ansible.builtin.template",
        )
    return base64.b64encode(content.encode()).decode()
