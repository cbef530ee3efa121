# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Issue a host's certificate. All of it happens on the controller."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.labctl.stacks.plugins.module_utils.errors import LabError, PreflightError
from ansible_collections.labctl.stacks.plugins.plugin_utils.secrets import PLACEHOLDER, secret_folder, words

OPTIONS = {
    "name": {"type": "str", "required": True},
    "names": {"type": "list", "elements": "str", "required": True},
    "authorities": {"type": "list", "elements": "int", "default": [1]},
    "valid_days": {"type": "int", "default": 365},
    "renew_days": {"type": "int", "default": 30},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Action of labctl.stacks.pki."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Issue what is due, or in check mode say what is; the result holds certificates and no key."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        _, args = self.validate_argument_spec(argument_spec=OPTIONS)
        try:
            answer = self._issue(args, variables)
        except LabError as exc:
            raise AnsibleActionFail(words(exc)) from exc
        return result | answer

    def _issue(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        try:
            from ansible_collections.labctl.stacks.plugins.module_utils.pki import Wanted, issue
        except ImportError as exc:
            raise PreflightError(
                f"certificates need the Python package cryptography on this machine: {exc}",
                hint="pip install 'cryptography>=42', in the environment that Ansible runs in",
            ) from exc
        wanted = Wanted(
            host=str(variables["inventory_hostname"]),
            name=args["name"],
            names=tuple(args["names"]),
            authorities=tuple(args["authorities"]),
            valid=timedelta(days=args["valid_days"]),
            renew=timedelta(days=args["renew_days"]),
        )
        issued = issue(secret_folder(self._templar, variables), wanted, dry=bool(self._task.check_mode))
        return {
            "changed": bool(issued.reason),
            "reason": issued.reason,
            "certificate": issued.certificate or f"{PLACEHOLDER}\n",
            "authorities": "".join(pem or f"{PLACEHOLDER}\n" for pem in issued.authorities),
            "key": issued.key,
            "ends": f"{issued.ends:%Y-%m-%dT%H:%M:%SZ}" if issued.ends else "",
        }
