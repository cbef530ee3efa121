# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the process that runs a host, which outlives the command that started it.

Where PID 1 is systemd it is a transient unit in a slice of the lab; elsewhere a session of its own, in cgroups of
its own. Either way a small shell script notes its pid and start time and then becomes systemd-nspawn, so that
there is no moment in which a host runs and no file tells of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import ProviderError
from ..command import environment, find, run
from . import cgroup, rootfs
from .state import Layout, RunRecord

#: Where nspawn keeps locks, and folders it shares with hosts.
NSPAWN_RUNTIME = Path("/run/systemd/nspawn")

#: Arguments: the run file, the rest of its JSON, a number of cgroups, these, and the command.
SCRIPT = """\
set -eu
file=$1 rest=$2 count=$3
shift 3
while [ "$count" -gt 0 ]; do
  echo $$ > "$1/cgroup.procs"
  shift
  count=$((count - 1))
done
read -r stat < /proc/$$/stat
start=$(set -f; set -- ${stat##*) }; shift 19; echo "$1")
printf '{"pid": %s, "start": %s, %s}\\n' $$ "$start" "$rest" > "$file.new"
mv -f "$file.new" "$file"
# /tmp on disk: nspawn's would take memory.
export SYSTEMD_NSPAWN_TMPFS_TMP=0
exec "$@"
"""


@dataclass(frozen=True)
class Boot:
    """All that starting a host takes. ``memory`` in bytes, ``cpus`` in cores; None is no limit.

    A host that ``nests`` gets the rights to start containers of its own. ``volumes`` maps folders in the host to
    folders of the machine that they are. ``calls`` are system calls it may make besides.
    """

    lab_id: str
    host: str
    root: Path
    bridge: str
    store: Path
    memory: int | None = None
    cpus: float | None = None
    nests: bool = False
    volumes: Mapping[str, Path] = field(default_factory=dict)
    calls: tuple[str, ...] = ()

    @property
    def machine(self) -> str:
        """Unique on this machine: nspawn derives the host's interface name and hardware address from it."""
        return machine_name(self.lab_id, self.host)

    @property
    def unit(self) -> str:
        return unit_name(self.lab_id, self.host)


def machine_name(lab_id: str, host: str) -> str:
    return f"labctl-{lab_id[:8]}-{host}"


def unit_name(lab_id: str, host: str) -> str:
    return f"labctl-{lab_id}-{host}.service"


def slice_name(lab_id: str) -> str:
    """Dashes make levels: this slice lies below labctl.slice."""
    return f"labctl-{lab_id}.slice"


#: What containers in a host need beyond nspawn's default: every capability the machine's root has itself, the system
#: calls that runc makes, and the kernel's messages, which kubelet reads.
NESTING = ("--capability=all", "--system-call-filter=add_key keyctl bpf perf_event_open @keyring", "--bind=/dev/kmsg")


def _bind(path: Path) -> str:
    """A path as a part of an option of nspawn's that colons separate."""
    return str(path).replace("\\", "\\\\").replace(":", "\\:")


def nspawn_argv(boot: Boot) -> list[str]:
    """The nspawn command line, with nspawn's default capabilities unless the host nests.

    ``--register=no --keep-unit``: works without machined, and leaves cgroups to us.
    """
    return [
        find("systemd-nspawn") or "systemd-nspawn",
        "--quiet",
        "--boot",
        "--settings=no",
        "--register=no",
        "--keep-unit",
        f"--machine={boot.machine}",
        f"--hostname={boot.host}",
        f"--directory={boot.root}",
        f"--network-bridge={boot.bridge}",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=read-only",
        f"--bind-ro={_bind(boot.store)}:/var/lib/labctl/store",
        *(f"--bind={_bind(source)}:{folder}" for folder, source in sorted(boot.volumes.items())),
        *(NESTING if boot.nests else ()),
        *(f"--system-call-filter={call}" for call in boot.calls),
    ]


def script_argv(boot: Boot, run_file: Path, unit: str, boot_id: str, groups: list[Path]) -> list[str]:
    """The shell that notes itself, joins the cgroups and becomes nspawn."""
    rest = {
        "boot": boot_id,
        "unit": unit,
        "store": str(boot.store),
        "memory": boot.memory,
        "cpus": boot.cpus,
        "nests": boot.nests,
        "volumes": sorted(boot.volumes),
    }
    body = json.dumps(rest, sort_keys=True)[1:-1]
    arguments = [str(run_file), body, str(len(groups)), *map(str, groups)]
    return ["/bin/sh", "-c", SCRIPT, "labctl-host", *arguments, *nspawn_argv(boot)]


def unit_argv(boot: Boot, run_file: Path, log: Path, boot_id: str) -> list[str]:
    """The systemd-run command line for machines whose PID 1 is systemd. Source: systemd-run(1), systemd.kill(5).

    systemd replaces variables in a service's arguments, so that dollar signs are doubled.
    """
    command = script_argv(boot, run_file, boot.unit, boot_id, [])
    properties = [
        "Delegate=yes",
        "KillMode=mixed",
        "TimeoutStopSec=20s",
        "TasksMax=infinity",
        f"StandardOutput=append:{log}",
        f"StandardError=append:{log}",
    ]
    properties += [f"MemoryMax={boot.memory}"] if boot.memory else []
    properties += [f"CPUQuota={max(1, round(boot.cpus * 100))}%"] if boot.cpus else []
    return [
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit={boot.unit}",
        f"--slice={slice_name(boot.lab_id)}",
        f"--description=labctl host {boot.host} of lab {boot.lab_id}",
        *(f"--property={entry}" for entry in properties),
        "--",
        *(word.replace("$", "$$") for word in command),
    ]


# What runs now --------------------------------------------------------------------------------------------------


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def under_systemd() -> bool:
    """Whether PID 1 is systemd; what sd_booted(3) looks at."""
    return Path("/run/systemd/system").is_dir()


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None for one that is no more, or is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def alive(record: RunRecord | None, boot: str | None = None) -> bool:
    """Whether the supervisor of a record still runs: the same process, of the same boot."""
    if record is None or record.boot != (boot or boot_id()):
        return False
    started = start_time(record.pid)
    if started is None:
        _reap(record.pid)
    return started == record.start


def age(record: RunRecord) -> float:
    """Seconds since a supervisor started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - record.start / os.sysconf("SC_CLK_TCK")


def leader(record: RunRecord) -> int | None:
    """The host's PID 1, which is the supervisor's only child."""
    try:
        children = Path(f"/proc/{record.pid}/task/{record.pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return None
    return int(children[0]) if children else None


# Start and stop -------------------------------------------------------------------------------------------------

#: Supervisors we started ourselves are our children until we end; kept so that they can be waited for.
_children: dict[int, subprocess.Popen[bytes]] = {}


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        _children.pop(pid, None)


def start(boot: Boot, layout: Layout) -> RunRecord:
    """Start a host and return its supervisor's record; ProviderError with its log's end where that fails."""
    run_file, log = layout.run_file(boot.host), layout.log(boot.host)
    run_file.unlink(missing_ok=True)
    boot_now = boot_id()
    child: subprocess.Popen[bytes] | None = None
    if under_systemd():
        run(unit_argv(boot, run_file, log, boot_now))
    else:
        name = cgroup.group_name(boot.lab_id, boot.host)
        groups = cgroup.make(name)
        cgroup.set_limits(name, boot.memory, boot.cpus)
        with log.open("ab") as stream:
            child = subprocess.Popen(
                script_argv(boot, run_file, "", boot_now, groups),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd="/",
                env=environment(),
                umask=0o022,
                start_new_session=True,
            )
        _children[child.pid] = child
    deadline = time.monotonic() + 20
    while (record := layout.run(boot.host)) is None:
        if time.monotonic() > deadline or (child is not None and child.poll() is not None):
            raise ProviderError(f"host {boot.host} did not start: {log_end(log)}")
        time.sleep(0.005)
    return record


def log_end(log: Path) -> str:
    """The last line a supervisor wrote, or where to look."""
    with contextlib.suppress(OSError):
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        if lines:
            return lines[-1].strip()[:300]
    return f"nothing was logged in {log}"


def stop(lab_id: str, host: str, record: RunRecord | None, seconds: float = 15) -> bool:
    """Shut a host down, and kill what does not go within ``seconds``; whether anything ran.

    SIGTERM makes nspawn ask the host's PID 1 for a clean shutdown. Processes are also looked for by cgroup, so
    that one whose record was lost is found.
    """
    found = False
    if under_systemd():
        unit = unit_name(lab_id, host)
        state = run(["systemctl", "is-active", unit], check=False).strip()
        if state in ("active", "activating", "deactivating", "reloading"):
            found = True
            run(["systemctl", "stop", unit], check=False, timeout=60)
        run(["systemctl", "reset-failed", unit], check=False)
    if record is not None and alive(record):
        found = True
        _signal(record, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while alive(record) and time.monotonic() < deadline:
            time.sleep(0.02)
        if alive(record):
            _signal(record, signal.SIGKILL)
    name = cgroup.group_name(lab_id, host)
    if cgroup.processes(name):
        found = True
        if not cgroup.kill(name):
            raise ProviderError(f"processes of host {host} do not end", hint="they may wait for a disk; try again")
    deadline = time.monotonic() + 5
    while record is not None and alive(record) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def clear_runtime(lab_id: str, host: str, root: Path) -> None:
    """Remove what a killed nspawn leaves in /run/systemd/nspawn, some of it mounted; systemd 257 refuses to start a
    host while it is there. Only for a host that does not run."""
    with contextlib.suppress(OSError):
        found = root.stat()
        (NSPAWN_RUNTIME / "locks" / f"inode-{found.st_dev}:{found.st_ino}").unlink(missing_ok=True)
    for folder in NSPAWN_RUNTIME.glob(f"*/{machine_name(lab_id, host)}"):
        rootfs.unmount(folder)
        with contextlib.suppress(OSError):
            folder.rmdir()


def _signal(record: RunRecord, number: signal.Signals) -> None:
    """Signal a supervisor. The pid is taken hold of before it is checked again, so that no later process is hit."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(record.pid)
        try:
            if start_time(record.pid) == record.start:
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
