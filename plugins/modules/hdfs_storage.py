#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: hdfs_storage
short_description: Format a NameNode once, and refuse the data of another cluster
version_added: 0.1.0
author: the labctl authors (@labctl)
description:
  - Reads the C(VERSION) files below O(data_dir). Storage that belongs to another cluster than O(cluster_id) is refused,
    for NameNode and DataNode alike, before a daemon could mix the two.
  - A NameNode without storage is formatted, once. Formatting happens in a folder beside the final one and is moved into
    place when it is complete, so that an interrupted run leaves nothing half-formatted, and a formatted NameNode is
    never formatted again.
  - Once formatted, O(data_dir) remembers it. When the NameNode's storage is gone later, the module fails rather than
    format anew, because a new, empty NameNode would orphan every block the DataNodes still hold.
attributes:
  check_mode: {support: full, description: Says whether it would format and does nothing.}
  diff_mode: {support: none, description: There is nothing to compare.}
  idempotent: {support: full, description: A second run changes nothing.}
options:
  components:
    description: The daemons that run on this host.
    type: list
    elements: str
    choices: [namenode, datanode]
    required: true
  data_dir:
    description: Folder that holds C(namenode/) and C(datanode/).
    type: path
    required: true
  cluster_id:
    description: Identity of the cluster, which every part of its storage carries.
    type: str
    required: true
  user:
    description: User the daemons run as.
    type: str
    default: hdfs
  command:
    description: The C(hdfs) command.
    type: path
    default: /usr/local/bin/hdfs
"""

EXAMPLES = r"""
- name: Format the NameNode once, and refuse the data of another cluster
  labctl.stacks.hdfs_storage:
    components: [namenode]
    data_dir: /var/lib/hdfs
    cluster_id: CID-demo
"""

RETURN = r"""
formatted:
  description: Whether the NameNode was formatted by this call, or would be in check mode.
  returned: success
  type: bool
  sample: false
"""

import shutil
from pathlib import Path
from typing import Optional

from ansible.module_utils.basic import AnsibleModule


class StorageError(Exception):
    """Storage that must not be used as it is."""


def cluster_of(storage: Path) -> Optional[str]:
    """The clusterID that ``storage/current/VERSION`` names, or None where nothing was ever stored."""
    version = storage / "current" / "VERSION"
    try:
        text = version.read_text()
    except FileNotFoundError:
        return None
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "clusterID":
            return value.strip()
    raise StorageError(f"{version} names no clusterID; the storage is damaged, restore it or move it away")


def check(storage: Path, cluster_id: str) -> bool:
    """Whether ``storage`` is in use, by this cluster; StorageError when by another or when it cannot be told."""
    owner = cluster_of(storage)
    if owner is None:
        current = storage / "current"
        if current.is_dir() and any(current.iterdir()):
            raise StorageError(
                f"{current} holds data without a VERSION file; it may be a damaged storage: restore it or move it away"
            )
        return False
    if owner != cluster_id:
        raise StorageError(
            f"{storage} belongs to the cluster {owner}, not to {cluster_id}; "
            "move it away, or set hdfs_cluster_id if this is the cluster meant"
        )
    return True


def format_namenode(module: AnsibleModule, storage: Path, cluster_id: str) -> None:
    """Format into a folder beside the final one, then move it into place in one step."""
    scratch = storage.with_name(storage.name + ".formatting")
    shutil.rmtree(str(scratch), ignore_errors=True)
    argv = ["runuser", "-u", module.params["user"], "--", module.params["command"], "namenode"]
    argv += [f"-Ddfs.namenode.name.dir=file://{scratch}", "-format", "-nonInteractive", "-clusterId", cluster_id]
    # The command treats the NameNode as a daemon; formatting needs only a little memory and the quick compiler.
    environment = {"HADOOP_DAEMON_OPTS": "-Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"}
    code, _out, err = module.run_command(argv, environ_update=environment)
    if code != 0 or cluster_of(scratch) != cluster_id:
        last = [line for line in err.splitlines() if line.strip()][-10:]
        raise StorageError("\n".join([f"formatting the NameNode failed (exit {code}):", *last]))
    if storage.is_dir():
        shutil.rmtree(str(storage / "current"), ignore_errors=True)
        storage.rmdir()
    scratch.rename(storage)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "components": {
                "type": "list",
                "elements": "str",
                "choices": ["namenode", "datanode"],
                "required": True,
            },
            "data_dir": {"type": "path", "required": True},
            "cluster_id": {"type": "str", "required": True},
            "user": {"type": "str", "default": "hdfs"},
            "command": {"type": "path", "default": "/usr/local/bin/hdfs"},
        },
        supports_check_mode=True,
    )
    data_dir, cluster_id = Path(module.params["data_dir"]), module.params["cluster_id"]
    marker = data_dir / ".formatted"
    format_now = False
    try:
        in_use = {name: check(data_dir / name, cluster_id) for name in module.params["components"]}
        if "namenode" in in_use and not in_use["namenode"]:
            if marker.exists():
                raise StorageError(
                    f"{data_dir / 'namenode'} was formatted before and is gone. Restore it from a backup; "
                    f"to start over with an empty file system, remove {marker} first"
                )
            format_now = True
        if format_now and not module.check_mode:
            format_namenode(module, data_dir / "namenode", cluster_id)
        if "namenode" in in_use and not module.check_mode and not marker.exists():
            marker.touch(mode=0o644, exist_ok=True)
    except (StorageError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=format_now, formatted=format_now)


if __name__ == "__main__":
    main()
