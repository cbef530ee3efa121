# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what the nspawn provider keeps on the machine, where, and under which lock.

    STATE_ROOT/nspawn/                    flock: whatever all labs share (subnets, firewall, forwarding)
      ip_forward.json, limits.json        what forwarding and the kernel's limits were before the first lab
      <lab>-<id>/                         flock: one apply or destroy of a lab at a time
        lab.json                          subnet, bridge and addresses
        <host>.host.json                  a host that is made; written last, so what lacks it is half-made
        <host>.run.json                   its supervisor, written by the supervisor itself before it starts the host
        <host>/{upper,work,root,log,volumes}  0700: its files hold programs that run as root

Host names hold no dot, so no name can stand for another file. The JSON files are readable by everybody: status
and inventory work unprivileged.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from ...errors import LockedError, ProviderError
from ...paths import STATE_ROOT

T = TypeVar("T")


@dataclass(frozen=True)
class LabRecord:
    """What is allotted to a lab. ``addresses`` maps host names to addresses within ``subnet``."""

    name: str
    id: str
    lab_dir: str
    subnet: str = ""
    bridge: str = ""
    addresses: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class HostRecord:
    """A host that is made. ``image`` is the digest its root lies over, ``host_key`` its public ssh key."""

    name: str
    address: str
    image: str
    host_key: str


@dataclass(frozen=True)
class RunRecord:
    """A supervisor: ``start`` in clock ticks since that ``boot``, which tells a process from a later one of the same
    pid. ``unit`` is empty where systemd does not run it; ``store`` is the folder the host sees as its store. ``nests``
    and ``volumes`` are what it was started with; see supervisor.Boot."""

    pid: int
    start: int
    boot: str
    unit: str = ""
    store: str = ""
    memory: int | None = None
    cpus: float | None = None
    nests: bool = False
    volumes: list[str] = field(default_factory=list)


class Layout:
    """The paths of one lab."""

    def __init__(self, name: str, lab_id: str, root: Path | None = None) -> None:
        self.base = nspawn_root() if root is None else root
        self.folder = self.base / f"{name}-{lab_id}"
        self.lab_file = self.folder / "lab.json"

    def host_dir(self, host: str) -> Path:
        return self.folder / host

    def host_file(self, host: str) -> Path:
        return self.folder / f"{host}.host.json"

    def run_file(self, host: str) -> Path:
        return self.folder / f"{host}.run.json"

    def root(self, host: str) -> Path:
        return self.folder / host / "root"

    def volume(self, host: str, folder: str) -> Path:
        """Where a folder of a host lies that is a file system of the machine's."""
        return self.folder / host / "volumes" / folder.strip("/").replace("/", "-")

    def log(self, host: str) -> Path:
        return self.folder / host / "log"

    def lab(self) -> LabRecord | None:
        return read(self.lab_file, LabRecord)

    def host(self, host: str) -> HostRecord | None:
        return read(self.host_file(host), HostRecord)

    def run(self, host: str) -> RunRecord | None:
        return read(self.run_file(host), RunRecord)

    def known_hosts(self) -> list[str]:
        """Every host there is anything of, whatever lab.yml says by now."""
        record = self.lab()
        names = set(record.addresses) if record else set()
        if self.folder.is_dir():
            names |= {entry.name.split(".")[0] for entry in self.folder.iterdir() if entry != self.lab_file}
        return sorted(name for name in names if name)


def nspawn_root() -> Path:
    return STATE_ROOT / "nspawn"


def ids_of(name: str, base: Path | None = None) -> list[str]:
    """The ids under which this machine has a lab of this name. An empty folder is only somebody's lock."""
    base = nspawn_root() if base is None else base
    pattern = re.compile(re.escape(name) + "-([0-9a-f]{16})")
    folders = [entry for entry in base.glob(f"{name}-*") if pattern.fullmatch(entry.name) and any(entry.glob("*"))]
    return sorted(entry.name[len(name) + 1 :] for entry in folders)


def all_labs(base: Path | None = None) -> list[LabRecord]:
    """Every lab this machine has, except those whose folder holds nothing readable yet."""
    base = nspawn_root() if base is None else base
    records = [read(path, LabRecord) for path in sorted(base.glob("*/lab.json"))]
    return [record for record in records if record is not None]


def read(path: Path, kind: type[T]) -> T | None:
    """A record from its file; None where there is none or it makes no sense (which then counts as half-made)."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]
        return kind(**{key: value for key, value in data.items() if key in known})
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, AttributeError):
        return None


def write(path: Path, record: Any) -> None:
    """Write a record whole or not at all."""
    write_text(path, json.dumps(record if isinstance(record, dict) else asdict(record), sort_keys=True) + "\n")


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file whole or not at all; never through a link that stands in its place."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(text)
    draft.replace(path)


def _make(folder: Path) -> None:
    """Make a folder and those above it, readable to all whatever the caller's umask is."""
    for path in (*reversed(folder.parents), folder):
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            path.chmod(0o755)


@contextmanager
def locked(folder: Path, *, wait: bool) -> Iterator[None]:
    """Hold a folder for this process. The lock dies with the process, and leaves no file behind.

    The folder may have been removed, and made anew, by the one we waited for; then the new one is locked.
    LockedError where it is held and ``wait`` is off.
    """
    while True:
        _make(folder)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise ProviderError(f"{folder} cannot be used: {exc.strerror}") from exc
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as exc:
                raise LockedError(
                    "another command is making or removing this lab's hosts", hint="wait for it to end, then try again"
                ) from exc
            try:
                same = os.path.samestat(os.fstat(descriptor), folder.stat())
            except FileNotFoundError:
                same = False
            if not same:
                continue
            yield
            return
        finally:
            os.close(descriptor)
