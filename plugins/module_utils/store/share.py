# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: hosts that have a tree hand it to those that have not, so that the controller need not.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import inspect
import os
import secrets
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

from ..bulk import command
from ..errors import ConvergeError, LabError
from . import share_server

#: Seconds without a transfer after which a share ends, and after which it ends whatever happens.
IDLE, LONGEST = 60, 900
#: Seconds a server may take to start, and a peer to say something.
START, ANSWER = 10.0, 10.0
RUN = Path("/run")
UNITS = "labctl-share-*.service"
CHUNK = 1 << 20


def start(tree: Path, address: str, token: str) -> int:
    """Share a tree on an address of this host, under a token, for a short time; the port. ConvergeError if it fails.

    The server is a transient unit of a user of its own, who may read what everybody may. The token reaches it by a
    file that it is handed open, so that no list of processes or units shows it.
    """
    name = f"labctl-share-{secrets.token_hex(4)}"
    secret = RUN / f".{name}"
    descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(f"{token}\n")
    properties = {
        "DynamicUser": "yes",
        "RuntimeDirectory": name,
        "RuntimeDirectoryMode": "0700",
        "RuntimeMaxSec": str(LONGEST),
        "StandardInput": f"file:{secret}",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateDevices": "yes",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "RestrictAddressFamilies": "AF_INET AF_INET6",
    }
    try:
        command(
            [
                *("systemd-run", "--quiet", "--collect", f"--unit={name}"),
                # Its command line, which is the default, would bring the whole program into the journal.
                f"--description=labctl shares {tree.name}",
                *(f"--property={key}={value}" for key, value in properties.items()),
                *("--", sys.executable, "-ISc", inspect.getsource(share_server), str(tree), address, str(IDLE)),
            ],
            what="systemd-run",
        )
        return _port(RUN / name / "port")
    except LabError:
        command(["systemctl", "stop", "--", f"{name}.service"], check=False)
        raise
    finally:
        secret.unlink()


def _port(path: Path) -> int:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            return int(path.read_text())
        time.sleep(0.05)
    raise ConvergeError(f"the server that shares an artefact did not start within {START:.0f} s")


def stop_all() -> None:
    """End what this host shares."""
    command(["systemctl", "stop", "--", UNITS], check=False)


def fetch(url: str, path: Path, limit: int) -> None:
    """Get a peer's tar into a file of at most ``limit`` bytes. OSError or ConvergeError, which name no token."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    size = 0
    with opener.open(url, timeout=ANSWER) as answer, path.open("wb") as stream:
        while block := answer.read(CHUNK):
            size += len(block)
            if size > limit:
                raise ConvergeError(f"a peer sent more than the {limit} bytes that the artefact can have")
            stream.write(block)
