# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on a lab's hosts, over the ssh configuration its provider wrote."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, ProviderError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.labschema import did_you_mean

from labctl.lab import backend
from labctl.lab.interrupt import Interrupted, stop_descendants

#: Told of each line: host, whether it came from standard error, text.
LineListener = Callable[[str, bool, str], None]


def targets(lab: Lab, word: str | None) -> list[str]:
    """The hosts a word means: a host, a group's hosts, or all for None and ``all``. InputError for another word."""
    names = [host.name for host in lab.hosts]
    if word is None or word == "all":
        return names
    groups = lab.groups()
    if word in names:
        return [word]
    if word in groups:
        return groups[word]
    raise InputError(f"lab {lab.name} has no host and no group {word!r}", hint=did_you_mean(word, [*names, *groups]))


def running(lab: Lab, names: list[str]) -> None:
    """ProviderError unless all these hosts run."""
    states = {host.name: host.state for host in backend.provider_for(lab).hosts()}
    missing = [f"{name} is {states.get(name, 'absent')}" for name in names if states.get(name) != "running"]
    if missing:
        raise ProviderError(f"not every host runs: {', '.join(missing)}", hint="labctl up")


def ssh_argv(lab: Lab, host: str, command: list[str], *, batch: bool = False) -> list[str]:
    """The ssh command for a host; a ``command`` of one word is the host's shell's to read, several stay as they are."""
    argv = ["ssh", "-F", str(config(lab))]
    if batch:
        argv += ["-o", "BatchMode=yes", "-T"]
    argv.append(host)
    if command:
        argv += ["--", command[0] if len(command) == 1 else shlex.join(command)]
    return argv


def config(lab: Lab) -> Path:
    """The lab's ssh configuration; ProviderError where the provider has not written one yet."""
    path = lab.lab_dir / "ssh" / "config"
    if not path.exists():
        raise ProviderError(f"lab {lab.name} is not up: there is no {path}", hint="labctl up")
    return path


def run_everywhere(lab: Lab, names: list[str], command: list[str], listen: LineListener) -> dict[str, int]:
    """Run a command on these hosts at once, telling each line as it comes; exit codes by host."""
    lock = threading.Lock()
    processes: dict[str, subprocess.Popen[str]] = {}
    threads: list[threading.Thread] = []

    def follow(host: str, stream: TextIO, error: bool) -> None:
        for line in stream:
            with lock:
                listen(host, error, line.rstrip("\n"))

    def start(host: str) -> None:
        process: Any = subprocess.Popen(
            ssh_argv(lab, host, command, batch=True),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        processes[host] = process
        for stream, error in ((process.stdout, False), (process.stderr, True)):
            thread = threading.Thread(target=follow, args=(host, stream, error), daemon=True)
            thread.start()
            threads.append(thread)

    try:
        for name in names:
            start(name)
        codes = {name: process.wait() for name, process in processes.items()}
        for thread in threads:
            # An ssh master that this call started may keep the stream open after the command has ended.
            thread.join(timeout=2)
        return codes
    except Interrupted:
        stop_descendants()
        raise
