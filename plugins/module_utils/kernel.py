# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: sysctls and kernel modules of a section, set by systemd-sysctl and modprobe.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Change, command
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import ABSENT

_KEY = re.compile(r"[A-Za-z0-9_*-]+([./][A-Za-z0-9_@:-]+)+")
_MODULE = re.compile(r"[A-Za-z0-9_-]+")
SYSCTL_TOOLS = ("/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl")


def sysctl_path(key: str) -> Path:
    """The file of a key, by sysctl.d(5): the first separator decides which of . and / separates."""
    first = re.search(r"[./]", key)
    if first and first.group() == ".":
        key = key.translate(str.maketrans("./", "/."))
    return Path("/proc/sys") / key


def live_sysctl(key: str) -> str | None:
    """The value the kernel has, white space made single; None where there is no such key."""
    with suppress(FileNotFoundError):
        return " ".join(sysctl_path(key).read_text().split())
    return None


def module_loaded(name: str) -> bool:
    """Whether the kernel has the module, loaded or built in (which shows in one of these places, if in any)."""
    plain = name.replace("-", "_")
    if Path(f"/sys/module/{plain}").is_dir() or plain in Path("/proc/filesystems").read_text().split():
        return True
    with suppress(FileNotFoundError):
        builtin = Path(f"/lib/modules/{os.uname().release}/modules.builtin").read_text()
        return any(Path(line).name.split(".")[0].replace("-", "_") == plain for line in builtin.splitlines())
    return False


class Kernel:
    """Plan and apply the sysctls and kernel modules of one section."""

    def __init__(self, call: Call, sysctls: dict[str, Any], modules: list[str]) -> None:
        self.call = call
        self.sysctls = {key: " ".join(str(value).split()) for key, value in sorted(sysctls.items())}
        self.modules = sorted(set(modules))
        self._missing: list[str] = []
        self._wrong: list[str] = []
        self._gone: dict[str, str] = {}
        self._old_sysctls = call.manifest.records(call.key, "sysctls")
        self._old_modules = call.manifest.records(call.key, "kernel_modules")
        self._before: dict[str, Any] = {}

    def plan(self) -> list[Change]:
        """Compare with what the running kernel has."""
        for key in self.sysctls:
            if not _KEY.fullmatch(key):
                raise InputError(f"{key!r} is not a sysctl", hint="write it as in vm.swappiness")
        for name in self.modules:
            if not _MODULE.fullmatch(name):
                raise InputError(f"{name!r} is not a kernel module's name", hint="write it as in br_netfilter")
        self._missing = [name for name in self.modules if not module_loaded(name)]
        changes = [Change(f"kernel module {name}", "not loaded", "loaded") for name in self._missing]
        for key, value in self.sysctls.items():
            live = live_sysctl(key)
            observed = ABSENT if live is None else live
            self._before[key] = self.call.manifest.before(self.call.key, "sysctls", key, observed)
            if live != value:
                self._wrong.append(key)
                changes.append(Change(f"sysctl {key}", observed, value))
        for key, record in self._old_sysctls.items():
            live, before = live_sysctl(key), record.get("before", ABSENT)
            others = self.call.manifest.owners("sysctls", key, self.call.key)
            if key not in self.sysctls and not others and live is not None and before not in (ABSENT, live):
                self._gone[key] = str(before)
                changes.append(Change(f"sysctl {key}", live, str(before)))
        return changes

    def modules_text(self, header: str) -> str:
        """A modules-load.d(5) file, "" for none."""
        return "\n".join([header, *self.modules, ""]) if self.modules else ""

    def sysctl_text(self, header: str) -> str:
        """A sysctl.d(5) file, "" for none."""
        lines = [f"{key} = {value}" for key, value in self.sysctls.items()]
        return "\n".join([header, *lines, ""]) if lines else ""

    def apply(self, conf: str) -> None:
        """Load modules, then set sysctls, as some exist only with a module. ConvergeError for what cannot be set."""
        for name in self._missing:
            try:
                command(["modprobe", name], what=f"kernel module {name} cannot be loaded")
            except ConvergeError as exc:
                raise ConvergeError(str(exc), hint="in a container, load it on the machine that runs the host") from exc
        for key, before in self._gone.items():
            with suppress(OSError):
                sysctl_path(key).write_text(before)
        if not self._wrong:
            return
        tool = next((path for path in SYSCTL_TOOLS if Path(path).exists()), None)
        if tool is None:
            raise PreflightError("this host has no systemd-sysctl", hint="use a host that runs systemd")
        command([tool, conf])
        for key in self._wrong:
            live, wanted = live_sysctl(key), self.sysctls[key]
            if live != wanted:
                stays = "does not exist" if live is None else f"stays {live}, {wanted} was asked for"
                raise ConvergeError(
                    f"sysctl {key} {stays}",
                    hint="a container cannot set it: set it on the machine that runs the host"
                    if live
                    else "a kernel module may be missing",
                )

    def records(self) -> dict[str, list[dict[str, Any]]]:
        """The section's records, once applied."""
        sysctls = [{"name": key, "value": value, "before": self._before[key]} for key, value in self.sysctls.items()]
        return {"sysctls": sysctls, "kernel_modules": [{"name": name} for name in self.modules]}

    def intent(self) -> dict[str, list[dict[str, Any]]]:
        """What to write down before acting."""
        intended = self.records()
        intended["sysctls"] += [record for key, record in self._old_sysctls.items() if key not in self.sysctls]
        return intended
