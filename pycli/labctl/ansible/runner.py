# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts Ansible: the only place that does. Through ansible-runner, with a private folder for each run."""

from __future__ import annotations

import os
import shutil
import signal
import sysconfig
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils import errors

from labctl.ansible.argv import CONFIG, RUN_MARK, environment, playbook_argv
from labctl.ansible.outcome import Outcome, Reader
from labctl.lab.events import Listener
from labctl.lab.interrupt import Interrupted, stop

#: How long ansible-playbook gets to end by itself after an interrupt, in seconds.
_PATIENCE = 10.0
#: The variables by which ansible-runner has Ansible report to it.
_RUNNERS_OWN = {"ANSIBLE_CALLBACK_PLUGINS", "ANSIBLE_STDOUT_CALLBACK", "AWX_ISOLATED_DATA_DIR"}


@dataclass(frozen=True)
class Playbook:
    """One run of one playbook: by collection name, on an inventory file, for this many hosts, or on some of them.

    ``tags`` are those of the tasks to run; all without any.
    """

    name: str
    inventory: Path
    hosts: int
    run_id: str
    private: Path
    limit: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    check: bool = False
    diff: bool = False
    verbosity: int = 0


def scripts_dir() -> Path:
    """Where the programs of our own Python environment are, activated or not."""
    return Path(sysconfig.get_path("scripts"))


def collections_dir() -> Path:
    """The folder whose ansible_collections holds the collection this labctl imports."""
    return Path(str(errors.__file__)).absolute().parents[5]


def warm() -> None:
    """Import ansible-runner, which takes a while, when there is something else to wait for."""
    import ansible_runner  # noqa: F401  (imported for its cost)


def run_playbook(playbook: Playbook, listener: Listener) -> Outcome:
    """Run it and return what came of it. On Interrupted, Ansible is stopped and none of its processes is left."""
    program = scripts_dir() / "ansible-playbook"
    if not program.exists():
        raise errors.PreflightError(
            f"there is no {program}", hint="install ansible-core into the environment that labctl runs in"
        )
    playbook.private.mkdir(mode=0o700)
    try:
        reader = Reader(playbook.name, listener, playbook.verbosity)
        began = time.monotonic()
        rc = _execute(playbook, str(program), reader)
        return reader.end(rc, time.monotonic() - began)
    finally:
        # It holds what Ansible was told and what it answered, which is more than a record may keep.
        shutil.rmtree(playbook.private, ignore_errors=True)


def _execute(playbook: Playbook, program: str, reader: Reader) -> int:
    runner = _prepared(playbook, program, reader)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            runner.run()
        except BaseException as exc:
            failed.append(exc)

    thread = threading.Thread(target=work, name="ansible-runner", daemon=True)
    try:
        thread.start()
        while thread.is_alive():
            thread.join(timeout=1.0)
    except Interrupted:
        _stop(playbook.run_id, thread)
        raise
    if failed:
        raise failed[0]
    return int(runner.rc)


def _prepared(playbook: Playbook, program: str, reader: Reader) -> Any:
    import ansible_runner

    (playbook.private / "project").mkdir()
    (playbook.private / "ansible.cfg").write_text(CONFIG, encoding="utf-8")
    env = environment(
        os.environ,
        scripts=scripts_dir(),
        collections=collections_dir(),
        private=playbook.private,
        hosts=playbook.hosts,
        run_id=playbook.run_id,
    )

    def handle(event: dict[str, Any]) -> bool:
        reader.take(event)
        return False  # nothing of it is written to disk

    runner = ansible_runner.interface.init_runner(
        private_data_dir=str(playbook.private),
        playbook=playbook.name,
        inventory=str(playbook.inventory),
        envvars=env | {"AWX_LIB_DIRECTORY": ""},
        settings={"pexpect_timeout": 1},
        suppress_env_files=True,
        fact_cache_type="memory",
        quiet=True,
        event_handler=handle,
        cancel_callback=lambda: False,
    )
    runner.config.command = playbook_argv(
        program,
        playbook.name,
        playbook.inventory,
        limit=playbook.limit,
        tags=playbook.tags,
        check=playbook.check,
        diff=playbook.diff,
        verbosity=max(0, playbook.verbosity - 1),
        setpriv=shutil.which("setpriv") or "",
    )
    # ansible-runner starts from our whole environment; of that, only what it needs to see events goes with ours.
    own = {key: value for key, value in runner.config.env.items() if key in _RUNNERS_OWN}
    runner.config.env = env | own
    return runner


def _stop(run_id: str, thread: threading.Thread) -> None:
    """Interrupt ansible-playbook, which then ends its workers; end what is still there after that.

    ansible-runner's own cancelling kills one process group and leaves Ansible's workers, which have sessions of
    their own, and their modules running.
    """
    deadline = time.monotonic() + _PATIENCE
    told: set[int] = set()
    while thread.is_alive() and time.monotonic() < deadline:
        for pid in _marked(run_id):
            if pid not in told and _parent(pid) == os.getpid():
                told.add(pid)
                _signal(pid, signal.SIGINT)
        thread.join(timeout=0.1)
    stop(lambda: _marked(run_id), [(signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)])
    thread.join(timeout=5)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _marked(run_id: str) -> list[int]:
    """The processes of a run, except ssh masters: they are the lab's, and other sessions may go through them."""
    mark = f"{RUN_MARK}={run_id}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes()
                if not (command.startswith(b"ssh: ") and b"[mux]" in command):
                    found.append(int(entry.name))
        except OSError:
            continue
    return found


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return 0
