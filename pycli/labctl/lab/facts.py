# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of hosts that roles depend on and say so: read again before each decision, as no file tells of their change.

A role declares them in ``meta/labctl.yml``, each as the command whose output it depends on; commands only read::

    facts:
      kernel: uname -r

Only those of a lab's own roles are asked for, as it takes an ssh to each host. A test looks for roles that use facts
and declare none.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Collection, Iterable
from pathlib import Path

from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab

from labctl.lab.digest import collection_root
from labctl.lab.parallel import together

_TIMEOUT, _PARALLEL = 15.0, 64


def declared(root: Path | None = None, roles: Collection[str] | None = None) -> dict[str, str]:
    """The facts that these roles of the collection declare, or all of its roles, with their commands."""
    paths = sorted((root or collection_root()).glob("roles/*/meta/labctl.yml"))
    paths = [path for path in paths if roles is None or path.parents[1].name in roles]
    if not paths:
        return {}
    import yaml

    return {
        f"{path.parents[1].name}: {name}": str(command)
        for path in paths
        for name, command in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("facts", {}).items()
    }


def facts_of(lab: Lab, hosts: Iterable[str], wanted: dict[str, str]) -> dict[str, dict[str, str]]:
    """Host -> ``fact ROLE: NAME`` -> what its command prints; for a host without an answer, something new each time."""
    if not wanted:
        return {}
    # What one command prints ends where the next one's mark begins.
    mark = f"labctl-{secrets.token_hex(8)}"
    script = "\n".join(f"{command} 2>&1; printf '\\n{mark}\\n'" for command in wanted.values())

    def ask(host: str) -> dict[str, str]:
        argv = ["ssh", "-F", str(lab.lab_dir / "ssh" / "config"), "-oBatchMode=yes", "-T", "--", host, script]
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT, check=False
            )
            told = done.stdout.split(f"\n{mark}\n")[:-1]
        except subprocess.TimeoutExpired:
            told = []
        if len(told) != len(wanted):
            told = [secrets.token_hex(8)] * len(wanted)
        return {f"fact {name}": text.strip() for name, text in zip(wanted, told, strict=True)}

    answers, _, _ = together({host: (lambda host=host: ask(host)) for host in hosts}, _PARALLEL)  # type: ignore[misc]
    return answers
