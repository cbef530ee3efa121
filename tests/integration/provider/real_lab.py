# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real lab on this machine, and what this machine still has of one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab, load_lab
from ansible_collections.labctl.stacks.plugins.module_utils.paths import STATE_ROOT
from ansible_collections.labctl.stacks.plugins.module_utils.providers import Host
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import NspawnProvider, state

ROOT = Path(__file__).parents[3]


@dataclass
class RealLab:
    """A lab file in a folder of its own, loaded anew for each question, as each command would."""

    folder: Path
    id: str = ""

    def write(self, text: str) -> None:
        (self.folder / "lab.yml").write_text(text, encoding="utf-8")

    @property
    def lab(self) -> Lab:
        lab = load_lab(self.folder / "lab.yml")
        self.id = lab.lab_id() or self.id
        return lab

    @property
    def provider(self) -> NspawnProvider:
        return NspawnProvider(self.lab)

    @property
    def layout(self) -> state.Layout:
        return self.provider.layout

    def up(self) -> None:
        self.provider.preflight()
        self.provider.apply()

    def host(self, name: str) -> Host:
        return next(host for host in self.provider.hosts() if host.name == name)

    def pid(self, name: str) -> int:
        record = self.layout.run(name)
        assert record is not None
        return record.pid

    def ssh(self, name: str, command: str, check: bool = True) -> str:
        """What a command prints on a host, by the lab's own ssh configuration."""
        config = self.lab.lab_dir / "ssh" / "config"
        done = subprocess.run(
            ["ssh", "-F", str(config), name, command], check=False, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0 or not check, done.stderr + done.stdout
        return done.stdout.strip()

    def leftovers(self) -> list[str]:
        """Everything on this machine that bears the lab's id."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if self.id in path.read_text(errors="replace"):
                    found.append(f"process {path.parent.name}")
            except OSError:
                continue
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        found += [f"mount {line}" for line in mounts if self.id in line]
        found += [f"interface {path.name}" for path in Path("/sys/class/net").glob(f"*{self.id[:8]}*")]
        for table in ("filter", "nat"):
            rules = subprocess.run(["iptables", "-w", "-t", table, "-S"], check=True, capture_output=True, text=True)
            found += [f"rule {line}" for line in rules.stdout.splitlines() if self.id[:8] in line]
        found += [f"cgroup {path}" for path in named("/sys/fs/cgroup", self.id)]
        for folder in (STATE_ROOT / "nspawn", "/run/labctl", "/run/systemd/nspawn"):
            found += [f"file {path}" for path in named(folder, self.id[:8])]
        return found


def named(folder: Path | str, text: str) -> list[str]:
    """Everything at any depth whose name holds ``text``. What other labs take away meanwhile is passed over."""
    return [
        f"{parent}/{name}" for parent, folders, files in os.walk(folder) for name in folders + files if text in name
    ]


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own, in a session of its own, that imports the collection as we do."""
    prelude = f"import sys; sys.path[:0] = [{str(ROOT / '.dev')!r}, {str(ROOT / 'tests')!r}]\n"
    return subprocess.Popen(
        [sys.executable, "-c", prelude + script, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
