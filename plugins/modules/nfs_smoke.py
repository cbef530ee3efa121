#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: nfs_smoke
short_description: Use an NFS export as a client does
version_added: 0.1.0
author: the labctl authors (@labctl)
description:
  - Writes a file of random bytes and their digest as root, under a name that never was before, reads it back and
    compares it, and looks whom it belongs to. Reads such files that other clients wrote, and compares them with their
    digests.
  - Goes through O(mount) where that is given, and otherwise through C(nfs-cp), C(nfs-cat) and C(nfs-ls), which speak
    NFS version 4 themselves and need nothing of the kernel.
attributes:
  check_mode: {support: none, description: Skipped, as it has to write.}
  diff_mode: {support: none, description: There is nothing to compare.}
  idempotent: {support: full, description: Reports no change; who calls it removes the file.}
options:
  server:
    description: Name or address of the server.
    type: str
    required: true
  port:
    description: Port of the server.
    type: int
    default: 2049
  export:
    description: Path of the export.
    type: str
    required: true
  mount:
    description: Folder that the export is mounted at; empty to use the export without a mount.
    type: str
    default: ""
  write:
    description: What the name of the file to write begins with; empty to write none.
    type: str
    default: ""
  size:
    description: Bytes to write.
    type: int
    default: 1048576
  read:
    description: What the names of files to read begin with, which other clients wrote by this module.
    type: list
    elements: str
    default: []
  root_squash:
    description: Whether root of a client shall be nobody on the server.
    type: bool
    default: true
  clean:
    description:
      - On the server, the folder of the export. Files that O(write) names are removed from it, and nothing else is
        done. The commands of libnfs cannot remove any.
    type: str
    default: ""
  timeout:
    description: Seconds each step may take.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Write a file
  labctl.stacks.nfs_smoke:
    server: head
    export: /shared
    write: labctl-smoke-worker1
"""

RETURN = r"""
report:
  description: What was proven, a line each.
  returned: success
  type: list
  elements: str
  sample: ['worker1 wrote 1048608 bytes to head:/shared and read them back, by nfs-cp; they belong to 65534:65534']
owner:
  description: Numbers of the user and group that the written file belongs to.
  returned: when O(write) is given
  type: str
  sample: 65534:65534
"""

import hashlib
import os
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule


class SmokeError(Exception):
    """The export did something else than its users expect."""


class Mounted:
    """An export that the kernel has mounted."""

    how = "a mount"

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        if not os.path.ismount(folder):
            raise SmokeError(f"nothing is mounted at {folder}")

    def write(self, name: str, content: bytes) -> None:
        with (self._folder / name).open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def owners(self) -> Dict[str, str]:
        found = {path.name: path.stat() for path in self._folder.glob("*") if path.is_file()}
        return {name: f"{one.st_uid}:{one.st_gid}" for name, one in found.items()}


class Direct:
    """An export through the commands of libnfs."""

    how = "nfs-cp"

    def __init__(self, server: str, port: int, export: str, timeout: int) -> None:
        place = server if port == 2049 else f"{server}:{port}"
        self._base = f"nfs://{place}{export.rstrip('/')}"
        self._timeout = timeout

    def _run(self, *words: str) -> bytes:
        argv: List[str] = [word if not word.startswith("nfs://") else f"{word}?version=4" for word in words]
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                done = subprocess.run(argv, capture_output=True, timeout=self._timeout, check=False)
            except subprocess.TimeoutExpired:
                raise SmokeError(f"{' '.join(argv)}: not done after {self._timeout} s") from None
            except FileNotFoundError:
                raise SmokeError(f"{argv[0]} is not installed; install libnfs-utils") from None
            said = " ".join(done.stderr.decode(errors="replace").split())[-500:]
            # After a restart the server lets clients take up what they had before anything new; the kernel's waits too.
            if "NFS4ERR_GRACE" not in said or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        # They tell of some failures on stderr alone, and exit with 0.
        if done.returncode != 0 or "Failed" in said:
            raise SmokeError(f"{' '.join(argv)}: exit code {done.returncode}: {said}")
        return done.stdout

    def write(self, name: str, content: bytes) -> None:
        with tempfile.NamedTemporaryFile() as stream:
            stream.write(content)
            stream.flush()
            self._run("nfs-cp", stream.name, f"{self._base}/{name}")

    def read(self, name: str) -> bytes:
        return self._run("nfs-cat", f"{self._base}/{name}")

    def owners(self) -> Dict[str, str]:
        return owners_in(self._run("nfs-ls", self._base).decode(errors="replace"))


def owners_in(listing: str) -> Dict[str, str]:
    """Names with whom they belong to, from what nfs-ls prints: mode, links, user, group, bytes, name."""
    lines = [line.split(None, 5) for line in listing.splitlines()]
    return {fields[5].strip(): f"{fields[2]}:{fields[3]}" for fields in lines if len(fields) == 6}


def sealed(name: str, body: bytes) -> bytes:
    """A file's content that tells whether it is whole, and that of the file of this name."""
    return body + hashlib.sha256(name.encode() + body).digest()


def is_sealed(name: str, content: bytes) -> bool:
    """Whether :func:`sealed` made a content, of some body, for this name."""
    return len(content) > 32 and content == sealed(name, content[:-32])


def read_one(by: Any, place: str, prefix: str) -> None:
    """Read what another client wrote. SmokeError unless a file with such a name is whole.

    One that an earlier run left may be listed for a while after it was removed on the server.
    """
    names = sorted(name for name in by.owners() if name.startswith(f"{prefix}-"))
    seen = f"there is no {prefix}-*"
    for name in names:
        try:
            if is_sealed(name, by.read(name)):
                return
            seen = f"{name} is not what another client wrote"
        except (SmokeError, OSError) as exc:
            seen = str(exc)
    raise SmokeError(f"{place}: {seen}")


def smoke(params: Dict[str, Any]) -> Dict[str, Any]:
    """Write and read what is asked for; what was proven. SmokeError with what went wrong."""
    place = f"{params['server']}:{params['export']}"
    by: Any = (
        Mounted(params["mount"])
        if params["mount"]
        else Direct(params["server"], params["port"], params["export"], params["timeout"])
    )
    report: List[str] = []
    result: Dict[str, Any] = {"report": report}
    me = os.uname().nodename
    if params["write"]:
        name = f"{params['write']}-{uuid.uuid4().hex[:12]}"
        content = sealed(name, os.urandom(params["size"]))
        by.write(name, content)
        if by.read(name) != content:
            raise SmokeError(f"{place}/{name} does not read back as it was written")
        owner = by.owners().get(name)
        if owner is None:
            raise SmokeError(f"{place}/{name} was written and is not listed")
        if params["root_squash"] and owner.startswith("0:"):
            raise SmokeError(f"{place} takes root of {me} for its own root")
        result["owner"] = owner
        report.append(
            f"{me} wrote {len(content)} bytes to {place} and read them back, by {by.how}; they belong to {owner}"
        )
    for prefix in params["read"]:
        read_one(by, place, prefix)
    if params["read"]:
        report.append(f"{me} read what {len(params['read'])} others wrote there, equal byte by byte")
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "server": {"type": "str", "required": True},
            "port": {"type": "int", "default": 2049},
            "export": {"type": "str", "required": True},
            "mount": {"type": "str", "default": ""},
            "write": {"type": "str", "default": ""},
            "size": {"type": "int", "default": 1048576},
            "read": {"type": "list", "elements": "str", "default": []},
            "root_squash": {"type": "bool", "default": True},
            "clean": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=False,
    )
    try:
        if module.params["clean"]:
            for path in Path(module.params["clean"]).glob(f"{module.params['write']}-*"):
                path.unlink()
            module.exit_json(changed=False, report=[])
        result = smoke(module.params)
    except (SmokeError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
