# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: look at, stage, replace, back up and remove files on a host, safe against planted links.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError

#: Names of files that were staged and not yet renamed; a killed run can leave them.
STAGED = re.compile(r"\.labctl\.[0-9a-f]{8}\..+")
_MODE = re.compile(r"0[0-7]{3,4}")
_MAX_LINKS = 40


@dataclass(frozen=True)
class Found:
    """What stands at a path: ``kind`` is file (with content), link (with target), directory or other."""

    kind: str
    owner: str
    group: str
    mode: str
    content: bytes = b""
    target: str = ""

    @property
    def attributes(self) -> str:
        """Owner, group and mode in a person's words."""
        return f"{self.owner}:{self.group} {self.mode}"


def sha256(content: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(content).hexdigest()


def check_path(path: str) -> None:
    """InputError unless the path is absolute and in its plain form, so that one path has one name in manifests."""
    if not path.startswith("/") or path == "/" or os.path.normpath(path) != path or any(ord(c) < 32 for c in path):
        raise InputError(f"{path!r} is not an absolute path in its plain form", hint="no '..', '//' or trailing '/'")


def check_mode(path: str, mode: str) -> str:
    """The mode as four digits. InputError for anything but an octal string with a leading zero.

    YAML turns an unquoted 0755 into the number 493, which would be another mode.
    """
    if not _MODE.fullmatch(mode):
        raise InputError(f"{path}: mode {mode!r} is not octal", hint="write it quoted with a leading zero, as '0750'")
    return format(int(mode, 8), "04o")


def user_name(uid: int) -> str:
    """The user's name, or the number where it has none."""
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def group_name(gid: int) -> str:
    """The group's name, or the number where it has none."""
    with suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)


def ids_of(path: str, owner: str, group: str) -> tuple[int, int]:
    """uid and gid of names or numbers. ConvergeError naming the path for one that the host does not know."""
    try:
        uid = int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise _unknown(path, "user", owner) from None
    try:
        gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise _unknown(path, "group", group) from None
    return uid, gid


def _unknown(path: str, kind: str, name: str) -> ConvergeError:
    return ConvergeError(f"{path}: this host has no {kind} {name!r}", hint=f"make the {kind} with system first")


@contextmanager
def opened_folder(path: Path) -> Iterator[int]:
    """A descriptor of a folder, reached component by component.

    Links on the way are followed only where root owns them: whoever else could place one would make us write, as root,
    where they like. ConvergeError for such a link, FileNotFoundError for a missing folder.
    """
    todo = list(path.parts[1:])
    links = 0
    current = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        while todo:
            name = todo.pop(0)
            entry = os.stat(name, dir_fd=current, follow_symlinks=False)
            if stat.S_ISLNK(entry.st_mode):
                links += 1
                if entry.st_uid != 0 or links > _MAX_LINKS:
                    raise ConvergeError(
                        f"{path}: {name!r} is a link of user {user_name(entry.st_uid)!r}, not followed",
                        hint="remove the link, or give the path it leads to",
                    )
                target = os.readlink(name, dir_fd=current)
                todo = [part for part in target.split("/") if part] + todo
                if not target.startswith("/"):
                    continue
                following = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
            else:
                following = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=current)
            os.close(current)
            current = following
        yield current
    except NotADirectoryError:
        raise ConvergeError(f"{path} is not a directory") from None
    finally:
        os.close(current)


def look(path: str) -> Found | None:
    """What stands at ``path``, None for nothing (also where its folder is missing)."""
    where = Path(path)
    try:
        with opened_folder(where.parent) as folder:
            entry = os.stat(where.name, dir_fd=folder, follow_symlinks=False)
            kind, content, target = "other", b"", ""
            if stat.S_ISREG(entry.st_mode):
                kind = "file"
                with os.fdopen(os.open(where.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder), "rb") as stream:
                    content = stream.read()
            elif stat.S_ISLNK(entry.st_mode):
                kind, target = "link", os.readlink(where.name, dir_fd=folder)
            elif stat.S_ISDIR(entry.st_mode):
                kind = "directory"
    except FileNotFoundError:
        return None
    mode = format(stat.S_IMODE(entry.st_mode), "04o")
    return Found(kind, user_name(entry.st_uid), group_name(entry.st_gid), mode, content, target)


@dataclass(frozen=True)
class Staged:
    """A complete file under a temporary name beside its target."""

    target: Path
    name: str

    @property
    def temporary(self) -> Path:
        """Where it is until :meth:`commit`."""
        return self.target.parent / self.name

    def commit(self) -> None:
        """Rename it over its target; a link at the target is replaced, not followed."""
        with opened_folder(self.target.parent) as folder:
            os.rename(self.name, self.target.name, src_dir_fd=folder, dst_dir_fd=folder)

    def discard(self) -> None:
        """Remove it if it was not committed."""
        with suppress(FileNotFoundError), opened_folder(self.target.parent) as folder:
            os.unlink(self.name, dir_fd=folder)


def stage(path: str, content: bytes, owner: str, group: str, mode: str) -> Staged:
    """Write a file beside its target, with its final owner and mode, readable by nobody else before.

    ConvergeError for a missing folder or an unknown owner.
    """
    uid, gid = ids_of(path, owner, group)
    target = Path(path)
    staged = Staged(target, f".labctl.{secrets.token_hex(4)}.{target.name}"[:250])
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with opened_folder(target.parent) as folder:
            descriptor = os.open(staged.name, flags, 0o600, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchown(stream.fileno(), uid, gid)
            os.fchmod(stream.fileno(), int(mode, 8))
            os.fsync(stream.fileno())
    except FileNotFoundError:
        raise ConvergeError(
            f"{path}: its folder is missing", hint="declare the folder in directories of config_tree or system"
        ) from None
    except BaseException:
        staged.discard()
        raise
    return staged


def backup_name(path: str) -> str:
    """The name, in the backup folder, of what stood at a path."""
    return f"{sha256(path.encode())[:16]}-{Path(path).name[:64]}"


def back_up(found: Found, path: str, folder: Path) -> dict[str, Any]:
    """Keep what stands at ``path`` and return the ``before`` of its record. A backup that is there already is kept.

    The first is what was there before labctl; a second would come of a lost manifest, and be of our own file.
    """
    before: dict[str, Any] = {"kind": found.kind, "owner": found.owner, "group": found.group}
    if found.kind == "link":
        return {**before, "target": found.target}
    kept = folder / backup_name(path)
    if not kept.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(found.content)
            stream.flush()
            os.fsync(stream.fileno())
    return {**before, "mode": found.mode, "backup": kept.name}


def restore(path: str, before: Any, folder: Path) -> None:
    """Put back what a record's ``before`` says, or remove the file where there was none.

    Where the folder of the file is gone, or the backup, there is nothing to put back, and that is no error: a removal
    must be able to end.
    """
    target = Path(path)
    if not target.parent.is_dir():
        return
    kept = folder / str(before["backup"]) if isinstance(before, dict) and "backup" in before else None
    if kept is not None and kept.is_file():
        stage(path, kept.read_bytes(), before["owner"], before["group"], before["mode"]).commit()
        kept.unlink()
        return
    with opened_folder(target.parent) as parent:
        with suppress(FileNotFoundError):
            os.unlink(target.name, dir_fd=parent)
        if isinstance(before, dict) and before["kind"] == "link":
            os.symlink(before["target"], target.name, dir_fd=parent)


def put_aside(path: Path, folder: Path) -> None:
    """Move a file that does not belong where it is into ``folder``; of a socket or pipe nothing is kept."""
    found = look(str(path))
    with opened_folder(path.parent) as parent:
        if found and found.kind in ("file", "link") and not STAGED.fullmatch(path.name):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept = folder / backup_name(str(path))
            with suppress(FileNotFoundError):
                kept.unlink()
            if found.kind == "link":
                kept.symlink_to(found.target)
            else:
                with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                    stream.write(found.content)
        os.unlink(path.name, dir_fd=parent)


def set_attributes(path: str, owner: str, group: str, mode: str) -> None:
    """Give a folder its owner and mode."""
    uid, gid = ids_of(path, owner, group)
    with opened_folder(Path(path)) as folder:
        os.fchown(folder, uid, gid)
        os.fchmod(folder, int(mode, 8))


def make_folder(path: str, owner: str, group: str, mode: str) -> None:
    """Make one folder, whose parent must be there, readable by nobody else before it has its owner."""
    where = Path(path)
    try:
        with opened_folder(where.parent) as parent:
            os.mkdir(where.name, 0o700, dir_fd=parent)
    except FileNotFoundError:
        raise ConvergeError(f"{path}: its parent folder is missing", hint="declare the parent too") from None
    set_attributes(path, owner, group, mode)


def remove_tree(path: str, keep: set[str]) -> bool:
    """Remove a folder with all in it but what is in ``keep`` (paths) and what is on another file system.

    True when the folder is gone. Links are removed, not followed.
    """
    where = Path(path)
    if not where.is_dir() or where.is_symlink():
        return not where.is_symlink()
    if not any(kept.startswith(f"{path}/") for kept in keep) and not _has_mounts(path):
        shutil.rmtree(path)
        return True
    for entry in list(os.scandir(path)):
        if entry.path in keep or (entry.is_dir(follow_symlinks=False) and os.path.ismount(entry.path)):
            continue
        if entry.is_dir(follow_symlinks=False):
            remove_tree(entry.path, keep)
        else:
            Path(entry.path).unlink()
    with suppress(OSError):
        where.rmdir()
    return not where.exists()


def _has_mounts(path: str) -> bool:
    mounts = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return any(mount == path or mount.startswith(f"{path}/") for mount in mounts)
