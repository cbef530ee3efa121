#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: nfs_support
short_description: Say what a host can do of NFS, or exactly what it lacks
version_added: 0.1.0
author: the labctl authors (@labctl)
description:
  - Looks at the file systems and modules of the kernel, and tries whether files of O(folder) can be opened by handle,
    as an NFS server has to. It changes nothing.
  - Fails with everything that is missing for what is asked, each with its mend.
requirements:
  - root on the host
attributes:
  check_mode: {support: full, description: It only looks.}
  diff_mode: {support: none, description: There is nothing to compare.}
  idempotent: {support: full, description: It changes nothing.}
options:
  server:
    description:
      - Whether the host is to serve, and by what. V(auto) takes the kernel's server where the kernel has one and is the
        host's own, and NFS-Ganesha elsewhere, as in containers.
    type: str
    choices: [none, auto, kernel, ganesha]
    default: none
  client:
    description: Whether the host is to mount, for which the kernel needs its NFS client.
    type: bool
    default: false
  folder:
    description: Folder that holds what is exported. Where it is not there yet, the nearest one above it is looked at.
    type: path
    default: /srv/nfs
"""

EXAMPLES = r"""
- name: See how this host can serve, and whether it can mount
  labctl.stacks.nfs_support:
    server: auto
    client: true
    folder: /srv/nfs
"""

RETURN = r"""
server:
  description: The server to run, V(kernel) or V(ganesha); empty where none was asked for.
  returned: success
  type: str
  sample: ganesha
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.errors import LabError
from ansible_collections.labctl.stacks.plugins.module_utils.nfs import kernel, support


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "server": {"type": "str", "choices": ["none", "auto", "kernel", "ganesha"], "default": "none"},
            "client": {"type": "bool", "default": False},
            "folder": {"type": "path", "default": "/srv/nfs"},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        server = support(kernel(), server=params["server"], client=params["client"], folder=Path(params["folder"]))
    except LabError as exc:
        module.fail_json(msg=exc.report)
    except OSError as exc:
        module.fail_json(msg=f"nfs_support: {exc}")
    module.exit_json(changed=False, server=server)


if __name__ == "__main__":
    main()
