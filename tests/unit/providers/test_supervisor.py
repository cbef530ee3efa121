# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host's supervisor is started, and how it is known again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from ansible_collections.labctl.stacks.plugins.module_utils import stacks
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import supervisor
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn.state import RunRecord

BOOT = supervisor.Boot(
    lab_id="0123456789abcdef",
    host="worker1",
    root=Path("/var/lib/labctl/nspawn/demo-0123456789abcdef/worker1/root"),
    bridge="labctl-01234567",
    store=Path("/home/a:b/.cache/labctl/store"),
    memory=512 * 2**20,
    cpus=0.5,
)
NSPAWN = [
    "--quiet",
    "--boot",
    "--settings=no",
    "--register=no",
    "--keep-unit",
    "--machine=labctl-01234567-worker1",
    "--hostname=worker1",
    "--directory=/var/lib/labctl/nspawn/demo-0123456789abcdef/worker1/root",
    "--network-bridge=labctl-01234567",
    "--resolv-conf=off",
    "--timezone=off",
    "--link-journal=no",
    "--console=read-only",
    "--bind-ro=/home/a\\:b/.cache/labctl/store:/var/lib/labctl/store",
]


def test_nspawn_is_started_with_its_default_capabilities() -> None:
    assert supervisor.nspawn_argv(BOOT)[1:] == NSPAWN


def test_a_host_gets_the_folders_and_rights_of_its_groups_and_no_others() -> None:
    boot = replace(BOOT, volumes={"/srv/nfs": Path("/var/lib/x:y")}, calls=("open_by_handle_at",))
    assert supervisor.nspawn_argv(boot)[1:] == [
        *NSPAWN,
        "--bind=/var/lib/x\\:y:/srv/nfs",
        "--system-call-filter=open_by_handle_at",
    ]
    assert supervisor.nspawn_argv(replace(BOOT, nests=True))[1:] == [*NSPAWN, *supervisor.NESTING]
    assert (stacks.volumes(["nfs_server"]), stacks.calls(["nfs_server"])) == (("/srv/nfs",), ("open_by_handle_at",))
    assert not stacks.nests(["nfs_server", "hdfs_datanode"])
    assert (stacks.volumes(["nfs_client"]), stacks.calls(["nfs_client", "k8s_node"])) == ((), ())


def test_rights_and_folders_are_given_to_groups_of_the_stack_that_asks() -> None:
    for stack in stacks.STACKS.values():
        assert {*stack.nesting, *stack.volumes, *stack.calls} <= set(stack.groups), stack.name


def test_under_systemd_it_is_a_transient_unit_with_its_limits() -> None:
    argv = supervisor.unit_argv(BOOT, Path("/s/worker1.run.json"), Path("/s/worker1/log"), "boot")
    head = argv[: argv.index("--")]
    assert head == [
        "systemd-run",
        "--quiet",
        "--collect",
        "--unit=labctl-0123456789abcdef-worker1.service",
        "--slice=labctl-0123456789abcdef.slice",
        "--description=labctl host worker1 of lab 0123456789abcdef",
        "--property=Delegate=yes",
        "--property=KillMode=mixed",
        "--property=TimeoutStopSec=20s",
        "--property=TasksMax=infinity",
        "--property=StandardOutput=append:/s/worker1/log",
        "--property=StandardError=append:/s/worker1/log",
        "--property=MemoryMax=536870912",
        "--property=CPUQuota=50%",
    ]
    # systemd would replace single dollar signs in a service's arguments.
    script = argv[argv.index("-c") + 1]
    assert script == supervisor.SCRIPT.replace("$", "$$")
    assert argv[-len(NSPAWN) :] == NSPAWN


def test_without_limits_a_unit_has_none() -> None:
    argv = supervisor.unit_argv(replace(BOOT, memory=None, cpus=None), Path("/s/r"), Path("/s/l"), "boot")
    assert not [word for word in argv if "MemoryMax" in word or "CPUQuota" in word]


def test_the_supervisor_notes_itself_before_it_becomes_nspawn(tmp_path: Path) -> None:
    run_file, group = tmp_path / "worker1.run.json", tmp_path / "group one"
    group.mkdir()
    argv = supervisor.script_argv(BOOT, run_file, "some.service", "boot-1", [group])
    assert argv[argv.index("1") + 1] == str(group)
    # In nspawn's place stands a program that says who it is and what it finds.
    probe = "import json, os; print(json.dumps([os.getpid(), os.path.exists(os.environ['RUN'])]))"
    argv = [*argv[: argv.index(str(group)) + 1], sys.executable, "-c", probe]
    said = subprocess.run(argv, check=True, capture_output=True, text=True, env={**os.environ, "RUN": str(run_file)})
    pid, noted_before = json.loads(said.stdout)
    record = RunRecord(**json.loads(run_file.read_text()))
    assert noted_before
    assert (record.pid, record.boot, record.unit) == (pid, "boot-1", "some.service")
    assert (record.store, record.memory, record.cpus) == (str(BOOT.store), BOOT.memory, BOOT.cpus)
    assert (group / "cgroup.procs").read_text().split() == [str(pid)]


def test_a_supervisor_that_cannot_join_its_cgroup_starts_nothing(tmp_path: Path) -> None:
    run_file = tmp_path / "worker1.run.json"
    argv = supervisor.script_argv(BOOT, run_file, "", "boot-1", [tmp_path / "missing"])
    done = subprocess.run(argv, check=False, capture_output=True)
    assert done.returncode != 0
    assert not run_file.exists()


def test_a_process_is_known_by_pid_start_and_boot() -> None:
    boot = supervisor.boot_id()
    started = supervisor.start_time(os.getpid())
    assert started is not None
    record = RunRecord(os.getpid(), started, boot)
    assert supervisor.alive(record)
    assert not supervisor.alive(replace(record, start=started - 1)), "another process may get the pid of a dead one"
    assert not supervisor.alive(replace(record, boot="00000000-0000-0000-0000-000000000000"))
    assert not supervisor.alive(None)


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    started = supervisor.start_time(child.pid)
    assert started is not None
    record = RunRecord(child.pid, started, supervisor.boot_id())
    assert supervisor.alive(record)
    assert child.stdin is not None
    child.stdin.close()
    # Ended, but not yet waited for.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not supervisor.alive(record)
    child.wait()


def test_the_last_words_of_a_log_are_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert str(log) in supervisor.log_end(log)
    log.write_text("one\nFailed to create directory: Read-only file system\n\n")
    assert supervisor.log_end(log) == "Failed to create directory: Read-only file system"
