# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: where files live on the controller, also under sudo."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

#: Runtime of hosts that live on this machine; root's, unlike the caches and the lab folder, which are the caller's.
STATE_ROOT = Path("/var/lib/labctl")


def _caller() -> pwd.struct_passwd | None:
    """The user who typed ``sudo``, where we run under it; None when we run as ourselves."""
    uid = os.environ.get("SUDO_UID", "")
    if os.geteuid() != 0 or not uid.isdigit() or uid == "0":
        return None
    try:
        return pwd.getpwuid(int(uid))
    except KeyError:
        return None


def cache_dir() -> Path:
    """The calling user's cache folder for labctl, not made by this call.

    ``LABCTL_CACHE_DIR`` wins, then ``XDG_CACHE_HOME/labctl``, then ``.cache/labctl`` in the caller's home.
    """
    if explicit := os.environ.get("LABCTL_CACHE_DIR"):
        return Path(explicit).absolute()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).absolute() / "labctl"
    caller = _caller()
    home = Path(caller.pw_dir) if caller else Path.home()
    return home / ".cache" / "labctl"


def chown_to_caller(path: Path) -> None:
    """Give a file or folder that was made under sudo back to the user who typed it; links are not followed."""
    caller = _caller()
    if caller is not None:
        os.chown(path, caller.pw_uid, caller.pw_gid, follow_symlinks=False)


def caller_identity() -> dict[str, Any]:
    """What has ``subprocess.Popen`` run a program as the user who typed ``sudo``; nothing where we run as ourselves."""
    caller = _caller()
    return {"user": caller.pw_uid, "group": caller.pw_gid, "extra_groups": []} if caller else {}


def caller_environment() -> dict[str, str]:
    """The environment's parts that name the user, to go with :func:`caller_identity`."""
    caller = _caller()
    return {"HOME": caller.pw_dir, "USER": caller.pw_name, "LOGNAME": caller.pw_name} if caller else {}


def make_dir(path: Path, mode: int = 0o755) -> Path:
    """Make a folder with its parents, each the calling user's, the last with ``mode``; an existing one is left."""
    missing = []
    current = path
    while not current.exists():
        missing.append(current)
        current = current.parent
    for folder in reversed(missing):
        folder.mkdir(mode=mode if folder == path else 0o755, exist_ok=True)
        chown_to_caller(folder)
    return path
