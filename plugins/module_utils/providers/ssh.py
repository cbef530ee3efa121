# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: a lab's ssh keys, known hosts and client configuration, and its shared connections.

The configuration stands in the lab folder, so that ``ssh -F .labctl/ssh/config worker1``, Ansible and labctl use
the same key, the same known hosts and the same master connections.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import ProviderError
from ..paths import chown_to_caller, make_dir
from .command import run

#: Where root keeps the sockets of master connections. Short, because a socket's path may have 107 characters.
CONTROL_ROOT = Path("/run/labctl")


@dataclass(frozen=True)
class Target:
    """A host as ssh should reach it. ``options`` are further lines of its block."""

    name: str
    address: str
    options: tuple[str, ...] = ()


def quoted(value: str | Path) -> str:
    """A value for ssh_config: percent signs are tokens there, and blanks part words."""
    return '"' + str(value).replace("%", "%%") + '"'


def ssh_args(lab_dir: Path) -> str:
    """What ``ansible_ssh_args`` has to hold."""
    return f"-F {shlex.quote(str(lab_dir / 'ssh' / 'config'))}"


def config_text(lab_id: str, targets: list[Target], common: tuple[str, ...]) -> str:
    """The client configuration: a block per host, then what holds for all of them. %C hashes both ends."""
    lines = ["# Written by labctl; changes are lost at the next labctl up."]
    for target in targets:
        lines += ["", f"Host {target.name} {target.address}", f"  HostName {target.address}"]
        lines += [f"  {option}" for option in target.options]
    lines += ["", "Host *", *(f"  {option}" for option in common)]
    lines += [
        "  GSSAPIAuthentication no",
        "  ConnectTimeout 10",
        "  ServerAliveInterval 15",
        "  ControlMaster auto",
        "  ControlPersist 10m",
        f"  ControlPath {control_dir(lab_id, '%i')}/%C",
    ]
    return "\n".join(lines) + "\n"


def known_hosts_text(keys: Mapping[str, tuple[str, str]]) -> str:
    """known_hosts for hosts given as name -> (address, public key)."""
    return "".join(f"{name},{address} {key}\n" for name, (address, key) in sorted(keys.items()))


def key_pair(folder: Path, name: str, comment: str) -> tuple[str, str]:
    """Make an ed25519 key pair unless it is there whole; (private, public) as text."""
    private, public = folder / name, folder / f"{name}.pub"
    if not (private.is_file() and public.is_file()):
        draft = folder / f".{name}.{os.getpid()}"
        for leftover in (draft, draft.with_name(f"{draft.name}.pub")):
            leftover.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(draft)])
        draft.with_name(f"{draft.name}.pub").replace(public)
        draft.replace(private)
    return private.read_text(encoding="ascii"), public.read_text(encoding="ascii").strip()


def lab_key(lab_dir: Path) -> str:
    """The public half of the lab's own key, made at first use and given to the calling user."""
    folder = make_dir(lab_dir / "ssh", 0o700)
    _, public = key_pair(folder, "id_ed25519", f"labctl {lab_dir.parent.name}"[:60])
    for name in ("id_ed25519", "id_ed25519.pub"):
        chown_to_caller(folder / name)
    return public


def write_client_files(lab_dir: Path, known_hosts: str | None, config: str) -> None:
    """Write config, and known_hosts where the lab has its own, unless they are as they should be."""
    folder = make_dir(lab_dir / "ssh", 0o700)
    for name, text in (("known_hosts", known_hosts), ("config", config)):
        path = folder / name
        if text is None:
            continue
        if path.is_file() and not path.is_symlink() and path.read_text(encoding="utf-8") == text:
            continue
        draft = folder / f".{name}.{os.getpid()}"
        draft.write_text(text, encoding="utf-8")
        chown_to_caller(draft)
        draft.replace(path)


def control_dir(lab_id: str, user: str | int) -> Path:
    """The folder of a user's master sockets for a lab; ``%i`` as the user lets ssh fill in its own.

    One per user, because a master refuses all users but its own and root.
    """
    if os.geteuid() == 0:
        return CONTROL_ROOT / f"{lab_id[:8]}-{user}"
    return Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"labctl-{lab_id[:8]}-{user}"


def make_control_dirs(lab_id: str) -> None:
    """Folders for the master sockets of ourselves and of the user who typed sudo; ssh fails without."""
    owners = {os.geteuid()}
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "").isdigit():
        owners.add(int(os.environ["SUDO_UID"]))
    for uid in owners:
        folder = control_dir(lab_id, uid)
        with contextlib.suppress(FileExistsError):
            folder.parent.mkdir(mode=0o755, exist_ok=True)
            folder.mkdir(mode=0o700)
            os.chown(folder, uid, -1)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
            raise ProviderError(f"{folder} belongs to somebody else", hint="remove it")


def close_masters(lab_id: str) -> int:
    """End the lab's master connections, of every user, and remove their folders; how many connections there were."""
    pattern = control_dir(lab_id, "*")
    sockets = sorted(pattern.parent.glob(f"{pattern.name}/*"))
    for path in sockets:
        with contextlib.suppress(ProviderError):
            run(["ssh", "-F", "none", "-o", f"ControlPath={path}", "-O", "exit", "lab"], check=False, timeout=5)
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    for folder in [*pattern.parent.glob(pattern.name), *([CONTROL_ROOT] if os.geteuid() == 0 else [])]:
        with contextlib.suppress(OSError):
            folder.rmdir()
    return len(sockets)


def banner(address: str, port: int = 22, timeout: float = 1.0) -> bool:
    """Whether an ssh server greets there now."""
    try:
        with socket.create_connection((address, port), timeout=timeout) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def wait_for_banner(address: str, deadline: float, alive: Callable[[], bool], port: int = 22) -> bool:
    """Look every 50 ms until an ssh server greets, the host dies, or ``time.monotonic()`` passes ``deadline``."""
    while not banner(address, port):
        if time.monotonic() > deadline or not alive():
            return False
        time.sleep(0.05)
    return True
