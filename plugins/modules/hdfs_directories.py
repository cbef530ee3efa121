#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: hdfs_directories
short_description: Keep folders in HDFS, with owner and mode
version_added: 0.1.0
author: the labctl authors (@labctl)
description:
  - Makes the folders that are missing and mends owner, group and mode of those that differ, through WebHDFS. It never
    removes a folder.
attributes:
  check_mode: {support: full, description: Says what it would do and does nothing.}
  diff_mode: {support: full, description: Shows owner, group and mode before and after.}
  idempotent: {support: full, description: A second run changes nothing.}
options:
  url:
    description: Address of the NameNode's web server, such as V(http://head:9870).
    type: str
    required: true
  user:
    description: HDFS user to act as; the superuser is the one the NameNode runs as.
    type: str
    default: hdfs
  timeout:
    description: Seconds to wait for a NameNode that does not answer yet, or is still in safe mode.
    type: int
    default: 60
  directories:
    description: The folders, each after its parents.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path in HDFS.
        type: str
        required: true
      owner:
        description: Owner.
        type: str
        default: hdfs
      group:
        description: Group.
        type: str
        default: hadoop
      mode:
        description: Permission in octal, such as V('1777').
        type: str
        default: '0755'
"""

EXAMPLES = r"""
- name: Keep the folders that every user expects
  labctl.stacks.hdfs_directories:
    url: http://head:9870
    directories:
      - path: /tmp
        mode: '1777'
      - path: /user/ada
        owner: ada
"""

RETURN = r"""
changed_paths:
  description: The folders that were made or mended.
  returned: success
  type: list
  elements: str
  sample: [/tmp]
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.webhdfs import RestError, WebHdfs


def wanted(directory: dict[str, Any]) -> dict[str, str]:
    """What HDFS should say of the folder, in its own spelling (permission without leading zeros)."""
    return {
        "owner": directory["owner"],
        "group": directory["group"],
        "permission": directory["mode"].lstrip("0") or "0",
    }


def found(hdfs: WebHdfs, path: str) -> dict[str, str] | None:
    """What HDFS says of the folder now, or None; RestError where a file is in the way."""
    status = hdfs.status(path)
    if status is None:
        return None
    if status["type"] != "DIRECTORY":
        raise RestError(f"{path} exists in HDFS and is no folder; move it away")
    return {key: str(status[key]) for key in ("owner", "group", "permission")}


def apply(hdfs: WebHdfs, path: str, before: dict[str, str] | None, after: dict[str, str]) -> None:
    if before is None:
        hdfs.mkdirs(path, after["permission"])
        before = {}
    if before.get("permission") != after["permission"]:
        # MKDIRS applies the server's umask, and drops the sticky bit.
        hdfs.set_permission(path, after["permission"])
    if (before.get("owner"), before.get("group")) != (after["owner"], after["group"]):
        hdfs.set_owner(path, after["owner"], after["group"])


def passing(exc: RestError) -> bool:
    """Whether the NameNode is only not there yet: it does not answer, starts up, or is in safe mode."""
    return exc.status is None or any(words in str(exc) for words in ("safe mode", "startup mode", "not started"))


def keep(module: AnsibleModule, hdfs: WebHdfs) -> dict[str, Any]:
    """Make and mend the folders; what was done, and the diff where one is asked for."""
    deadline = time.monotonic() + module.params["timeout"]
    done: dict[str, dict[str, Any]] = {}
    for directory in module.params["directories"]:
        path, after = directory["path"], wanted(directory)
        while True:
            try:
                before = found(hdfs, path)
                if before != after and not module.check_mode:
                    apply(hdfs, path, before, after)
                break
            except RestError as exc:
                if module.check_mode and passing(exc):
                    # Without a NameNode there are no folders yet.
                    before = None
                    break
                if not passing(exc) or time.monotonic() > deadline:
                    module.fail_json(msg=str(exc), changed=bool(done), changed_paths=list(done))
                time.sleep(0.2)
        if before != after:
            done[path] = {"before_header": path, "after_header": path, "before": before or {}, "after": after}
    result: dict[str, Any] = {"changed_paths": list(done)}
    if module._diff:
        result["diff"] = list(done.values())
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "user": {"type": "str", "default": "hdfs"},
            "timeout": {"type": "int", "default": 60},
            "directories": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "str", "required": True},
                    "owner": {"type": "str", "default": "hdfs"},
                    "group": {"type": "str", "default": "hadoop"},
                    "mode": {"type": "str", "default": "0755"},
                },
            },
        },
        supports_check_mode=True,
    )
    result = keep(module, WebHdfs(module.params["url"], module.params["user"]))
    module.exit_json(changed=bool(result["changed_paths"]), **result)


if __name__ == "__main__":
    main()
