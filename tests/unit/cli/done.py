# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of commands share: how a command ended, and a lab file."""

from __future__ import annotations

from dataclasses import dataclass

LAB = """\
name: demo
provider: nspawn
hosts:
  head: {groups: [hdfs_namenode, yarn_resourcemanager, mapred_historyserver], memory: 2GiB}
  worker: {count: 2, groups: [hdfs_datanode, yarn_nodemanager]}
stacks: [hadoop]
"""


@dataclass
class Done:
    """How a command ended: exit code, standard output, standard error with times of day and seconds made equal."""

    code: int
    out: str
    err: str
