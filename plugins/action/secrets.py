# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the secrets that a lab lacks. All of it happens on the controller."""

from __future__ import annotations

import math
import string
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, LabError
from ansible_collections.labctl.stacks.plugins.module_utils.secret_folder import SecretFolder
from ansible_collections.labctl.stacks.plugins.plugin_utils.secrets import secret_folder, words

#: Below this a secret could be guessed by whoever gets hold of a hash of it.
MIN_BITS = 128
CHARACTERS = ["ascii_letters", "ascii_lowercase", "ascii_uppercase", "digits", "punctuation"]
OPTIONS = {
    "secrets": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "length": {"type": "int", "default": 32},
            "chars": {
                "type": "list",
                "elements": "str",
                "choices": CHARACTERS,
                "default": ["ascii_letters", "digits"],
            },
        },
    }
}


def check(secrets: list[dict[str, Any]]) -> None:
    """InputError for a secret that is declared twice, is no plain name, or is too easily guessed."""
    names = [secret["name"] for secret in secrets]
    for secret in secrets:
        name = secret["name"]
        if not name.replace("_", "").replace("-", "").isalnum() or not name.isascii():
            raise InputError(f"{name!r} is no name for a secret", hint="use letters, digits, - and _")
        if names.count(name) > 1:
            raise InputError(f"secret {name} is declared twice", hint="declare it once")
        alphabet = set().union(*(getattr(string, chars) for chars in secret["chars"])) - set("\"'")
        bits = secret["length"] * math.log2(len(alphabet) or 1)
        if bits < MIN_BITS:
            raise InputError(
                f"secret {name} would have {bits:.0f} bits, which is fewer than {MIN_BITS}",
                hint=f"make it longer: {math.ceil(MIN_BITS / math.log2(max(len(alphabet), 2)))} of these characters do",
            )


class ActionModule(ActionBase):  # type: ignore[misc]
    """Action of labctl.stacks.secrets."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make what is missing, or in check mode say what is; the result names it and holds no value."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        _, args = self.validate_argument_spec(argument_spec=OPTIONS)
        try:
            check(args["secrets"])
            folder = secret_folder(self._templar, variables)
            missing = self._missing(folder, args["secrets"])
            if missing and not self._task.check_mode:
                with folder.lock():
                    # Another run may have made them while this one waited.
                    missing = self._missing(folder, missing)
                    for secret in missing:
                        folder.write(secret["name"], self._value(secret))
        except LabError as exc:
            raise AnsibleActionFail(words(exc)) from exc
        made = [secret["name"] for secret in missing]
        return {**result, "changed": bool(made), "made": made, "folder": str(folder.path)}

    @staticmethod
    def _missing(folder: SecretFolder, secrets: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [secret for secret in secrets if folder.read(secret["name"]) is None]

    def _value(self, secret: dict[str, Any]) -> str:
        # Given a path, the lookup would write the file in place: killed half-way, it leaves an empty password and a
        # lock that nobody takes away. So it makes the value, and the folder keeps it.
        lookup = lookup_loader.get("ansible.builtin.password", loader=self._loader, templar=self._templar)
        options = {"length": secret["length"], "chars": list(secret["chars"])}
        return str(lookup.run(["/dev/null"], variables={}, **options)[0])
