# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a secret of the lab."""

from __future__ import annotations

DOCUMENTATION = r"""
name: secret
short_description: Read a secret of the lab
version_added: 0.1.0
description:
  - Reads a value that M(labctl.stacks.secrets) or M(labctl.stacks.pki) made, from the folder C(secrets) of the lab
    folder on the controller. It makes none.
  - The value is read when it is used, so a variable may be defined by this lookup before the secret exists, and only
    the tasks that use the variable carry it. It is never evaluated as a template.
  - Ansible shows the parameters and results of most modules. Use the value in a file's content with
    M(labctl.stacks.config_tree), which never shows it, or give the task C(no_log).
  - With C(--check), a secret that the lab does not have yet reads as V((made by a run\)). Tasks that use it then tell
    that they would change something, and nothing of it is written. Anywhere else a missing secret is an error.
options:
  _terms:
    description: Names of secrets, or paths below the folder.
    type: list
    elements: str
    required: true
author:
  - the labctl authors (@labctl)
"""

EXAMPLES = r"""
- name: Write the password into a file that only the service can read
  labctl.stacks.config_tree:
    role: grafana
    files:
      - path: /etc/grafana/admin-password
        content: "{{ lookup('labctl.stacks.secret', 'grafana_admin') }}"
        group: grafana
        mode: "0640"
        secret: true
"""

RETURN = r"""
_raw:
  description: The values, without a line end.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, LabError
from ansible_collections.labctl.stacks.plugins.plugin_utils.secrets import PLACEHOLDER, secret_folder, words


class LookupModule(LookupBase):  # type: ignore[misc]
    """The lookup labctl.stacks.secret."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """The secrets of these names; AnsibleError for one that is not there."""
        known = variables or {}
        self.set_options(var_options=known, direct=kwargs)
        try:
            folder = secret_folder(self._templar, known)
            values = {str(term): folder.read(str(term)) for term in terms}
            for name in [name for name, value in values.items() if value is None]:
                if not known.get("ansible_check_mode"):
                    raise InputError(
                        f"the lab has no secret {name}: there is no {folder.path / name}",
                        hint="import the entry point secrets of labctl.stacks.common before it is used",
                    )
        except LabError as exc:
            raise AnsibleError(words(exc)) from exc
        return [values[str(term)] or PLACEHOLDER for term in terms]
