# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what a host can do of NFS: serve by its kernel, serve by NFS-Ganesha, mount.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.labctl.stacks.plugins.module_utils.errors import Finding, PreflightError

#: What the kernel calls the file system -> modules that bring it, any of which will do.
SERVER, CLIENT = ("nfsd", ("nfsd",)), ("nfs4", ("nfsv4", "nfs"))
#: File systems that NFS-Ganesha passes over, though the kernel could give handles of their files.
PASSED_OVER = ("tmpfs", "nfs", "nfs4", "autofs")
_AT_FDCWD, _HANDLE_BYTES = -100, 128


@dataclass(frozen=True)
class Kernel:
    """A host's kernel: the file systems it has now, the modules that it could load, and whether it is a container's.

    A container loads no modules of its own; what the machine has loaded is all there is.
    """

    release: str
    filesystems: frozenset[str]
    modules: frozenset[str] = frozenset()
    container: bool = False

    def lacks(self, kind: tuple[str, tuple[str, ...]]) -> tuple[str, str]:
        """What is missing to have a kind of file system, and the mend; ("", "") where it is there or can be loaded."""
        filesystem, modules = kind
        if filesystem in self.filesystems or (not self.container and self.modules & set(modules)):
            return "", ""
        wanted = " or ".join(modules)
        if self.container:
            what = f"kernel {self.release} has no {filesystem} (/proc/filesystems)"
            return what, f"a container has what its machine has: modprobe {modules[0]} there, if that has the module"
        what = f"kernel {self.release} has neither {filesystem} (/proc/filesystems) nor a module {wanted} to load"
        return what, "boot a kernel with it, such as Debian's linux-image-amd64"


def module_names(listed: str) -> frozenset[str]:
    """Names of modules in the text of modules.dep or modules.builtin (depmod(8))."""
    paths = (line.partition(":")[0] for line in listed.splitlines())
    return frozenset(path.rpartition("/")[2].partition(".ko")[0].replace("-", "_") for path in paths if path)


def kernel(root: Path = Path("/")) -> Kernel:
    """The kernel of the host whose files lie below ``root``."""
    release = os.uname().release
    lines = (root / "proc/filesystems").read_text().splitlines()
    modules: frozenset[str] = frozenset()
    for name in ("modules.dep", "modules.builtin"):
        with suppress(OSError):
            modules |= module_names((root / "lib/modules" / release / name).read_text())
    # systemd tells of a container here, whoever made it; see sd-booted and org.freedesktop.systemd1(5).
    inside = (root / "run/systemd/container").exists()
    return Kernel(release, frozenset(line.split()[-1] for line in lines if line.split()), modules, inside)


def file_system_of(path: Path, mountinfo: str) -> str:
    """The type of the file system that a path lies on, from the text of /proc/self/mountinfo (see proc(5))."""
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields.split(" ")[4]))
        # The last of several mounts on one point is the one that is seen.
        if (point == path or point in path.parents) and len(point.parts) >= best:
            best, kind = len(point.parts), rest.split(" ")[0]
    return kind


def handles(folder: Path, *, reopen: bool) -> int:
    """Try what an NFS server does with files: name one by a handle, and with ``reopen`` open it by that.

    0, or the errno it fails with: EOPNOTSUPP where the file system gives no handles, EPERM where the process may not.
    See open_by_handle_at(2).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # struct file_handle: unsigned int handle_bytes; int handle_type; unsigned char f_handle[].
    handle = ctypes.create_string_buffer(_HANDLE_BYTES.to_bytes(4, "little") + bytes(4 + _HANDLE_BYTES))
    mount = ctypes.c_int()
    if libc.name_to_handle_at(_AT_FDCWD, os.fsencode(folder), handle, ctypes.byref(mount), 0) != 0:
        return ctypes.get_errno()
    if not reopen:
        return 0
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        opened = libc.open_by_handle_at(descriptor, handle, os.O_RDONLY)
        if opened < 0:
            return ctypes.get_errno()
        os.close(opened)
        return 0
    finally:
        os.close(descriptor)


def exportable(folder: Path, server: str) -> tuple[str, str]:
    """Why a folder, or what is there of the way to it, cannot be exported, and the mend; ("", "") where it can."""
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    kind = file_system_of(there, Path("/proc/self/mountinfo").read_text())
    mend = "mount ext4, xfs or btrfs there"
    if server == "ganesha" and kind in PASSED_OVER:
        return f"lies on {kind}, which NFS-Ganesha does not export", mend
    wrong = handles(there, reopen=server == "ganesha")
    if wrong in (errno.EPERM, errno.ENOSYS, errno.EACCES):
        return (
            "its files cannot be opened by their handles here, which NFS-Ganesha has to do",
            "give the host CAP_DAC_READ_SEARCH and the system call open_by_handle_at",
        )
    if wrong:
        return f"lies on {kind}, which gives its files no handles to serve them by ({os.strerror(wrong)})", mend
    return "", ""


def server_of(asked: str, of: Kernel) -> str:
    """``kernel`` or ``ganesha`` for ``auto``: the kernel's where it is this host's own and has one."""
    if asked != "auto":
        return asked
    return "ganesha" if of.container or of.lacks(SERVER)[0] else "kernel"


def support(of: Kernel, *, server: str, client: bool, folder: Path) -> str:
    """The server that a host is to run (``""`` where none was asked for). PreflightError with all that it lacks.

    ``server`` is ``none``, ``auto``, ``kernel`` or ``ganesha``; ``folder`` holds what is exported.
    """
    findings = []
    chosen = "" if server == "none" else server_of(server, of)
    if chosen == "kernel":
        what, mend = of.lacks(SERVER)
        if what:
            findings.append(Finding("NFS server", what, f"{mend}; or set nfs_server_kind: ganesha"))
    if chosen:
        what, mend = exportable(folder, chosen)
        if what:
            findings.append(Finding(str(folder), what, mend))
    if client:
        what, mend = of.lacks(CLIENT)
        if what:
            without = (
                "or set nfs_mounts_enabled: false, which leaves nfs-ls, nfs-cat and nfs-cp, as these need no kernel"
            )
            findings.append(Finding("NFS client", what, f"{mend}; {without}"))
    if findings:
        raise PreflightError("this host lacks what NFS needs", findings=tuple(findings))
    return chosen
