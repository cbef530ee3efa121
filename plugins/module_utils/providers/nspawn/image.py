# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the base image, built by mmdebstrap once per recipe and kept unpacked in the cache.

It lies in cache/images/nspawn, which is root's alone, because the image holds programs that run as root, and which
is locked while one is built. <digest>/ is whole, because it gets this name last; .build-*/ is what an interrupted
build left, and the next build removes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import stat
import subprocess
import tempfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError, ProviderError
from ...paths import cache_dir, make_dir
from ...stacks import STACKS
from ..base import Progress
from ..command import environment, find
from .rootfs import remove_tree, unmount
from .state import locked

#: Image name -> the suite it is made of.
SUITES = {"debian-12": "bookworm", "debian-13": "trixie"}
#: To be raised whenever what customise() or mmdebstrap_argv() do changes.
RECIPE_VERSION = 1
BASE_PACKAGES = (
    "ca-certificates",
    "curl",
    "dbus",
    "iproute2",
    "iptables",
    "iputils-ping",
    "kmod",  # without it systemd-modules-load fails under a wide capability set
    "mount",
    "netbase",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "sudo",  # Ansible's become_user
    "systemd",
    "systemd-sysv",
)
#: Whose images have to be: what is in them will run as root.
OWNER = 0
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp")

_LINKS = {
    "multi-user.target.wants/systemd-networkd.service": "/usr/lib/systemd/system/systemd-networkd.service",
    "sockets.target.wants/systemd-networkd.socket": "/usr/lib/systemd/system/systemd-networkd.socket",
    # Only runs where a unit asks for the network to be up; one that binds to the host's address has to.
    "network-online.target.wants/systemd-networkd-wait-online.service": (
        "/usr/lib/systemd/system/systemd-networkd-wait-online.service"
    ),
    # No consoles, no tmpfs that takes memory, and nothing that stirs by itself while someone measures.
    "apt-daily-upgrade.timer": "/dev/null",
    "apt-daily.timer": "/dev/null",
    "console-getty.service": "/dev/null",
    "dpkg-db-backup.timer": "/dev/null",
    "fstrim.timer": "/dev/null",
    "getty@tty1.service": "/dev/null",
    "systemd-pstore.service": "/dev/null",
    "tmp.mount": "/dev/null",
}
_FILES = {
    "etc/hostname": "localhost\n",
    "etc/hosts": "127.0.0.1\tlocalhost\n",
    "etc/resolv.conf": "",
    "etc/machine-id": "",
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/ssh/sshd_config.d/00-labctl.conf": (
        "HostKey /etc/ssh/ssh_host_ed25519_key\n"
        "PermitRootLogin prohibit-password\n"
        "PasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\n"
        "UseDNS no\n"
        # Ansible and labctl open many sessions over one connection.
        "MaxSessions 100\n"
        "MaxStartups 100:30:200\n"
    ),
    "etc/systemd/journald.conf.d/labctl.conf": "[Journal]\nStorage=persistent\nSystemMaxUse=64M\n",
    "etc/dpkg/dpkg.cfg.d/labctl": (
        "force-unsafe-io\n"
        "path-exclude=/usr/share/locale/*\n"
        "path-exclude=/usr/share/doc/*\n"
        "path-include=/usr/share/doc/*/copyright\n"
    ),
}


@dataclass(frozen=True)
class Recipe:
    """All that an image depends on, apart from the day it was built on."""

    suite: str
    packages: tuple[str, ...]

    @property
    def digest(self) -> str:
        """16 hex digits that name the image."""
        content = {
            "version": RECIPE_VERSION,
            "suite": self.suite,
            "packages": self.packages,
            "links": _LINKS,
            "files": _FILES,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def recipe_for(image: str, stacks: tuple[str, ...]) -> Recipe:
    """The recipe of a named image for the lab's stacks; InputError for an image nobody knows."""
    if image not in SUITES:
        raise InputError(f"no image is called {image}", hint=f"provider nspawn knows {', '.join(sorted(SUITES))}")
    packages = set(BASE_PACKAGES).union(*(STACKS[stack].packages for stack in stacks))
    return Recipe(SUITES[image], tuple(sorted(packages)))


def folder() -> Path:
    return cache_dir() / "images" / "nspawn"


def path_of(digest: str) -> Path:
    return folder() / digest


def present(digest: str) -> bool:
    """Whether the image is there, whole and root's."""
    try:
        found = path_of(digest).lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == OWNER


def mmdebstrap_argv(recipe: Recipe, target: Path) -> list[str]:
    """The build's command line. No mirror is named: mmdebstrap knows the suite's own. Source: mmdebstrap(1)."""
    options = [line for line in _FILES["etc/dpkg/dpkg.cfg.d/labctl"].splitlines() if line]
    # Its processes and mounts live in namespaces that end with it, and it ends with us, even when we are killed.
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        find("mmdebstrap") or "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        *(f"--dpkgopt={option}" for option in options),
        f"--include={','.join(recipe.packages)}",
        recipe.suite,
        str(target),
    ]


def ensure(recipe: Recipe, progress: Progress) -> Path:
    """The image's path; builds it where it is missing, once, however many ask for it at a time."""
    if present(recipe.digest):
        return path_of(recipe.digest)
    parent = folder()
    make_dir(parent.parent)
    parent.mkdir(mode=0o700, exist_ok=True)
    if parent.is_symlink() or parent.stat().st_uid != OWNER:
        raise ProviderError(f"{parent} is not root's own folder", hint="remove it; labctl makes it anew")
    progress("", f"waiting for the {recipe.suite} image")
    with locked(parent, wait=True):
        if present(recipe.digest):
            return path_of(recipe.digest)
        for leftover in parent.glob(".build-*"):
            unmount(leftover)
            remove_tree(leftover)
        draft = Path(tempfile.mkdtemp(prefix=".build-", dir=parent))
        try:
            root = draft / "root"
            progress("", f"building the {recipe.suite} image ({len(recipe.packages)} packages named)")
            _build(mmdebstrap_argv(recipe, root), progress)
            customise(root)
            os.sync()
            root.rename(path_of(recipe.digest))
        finally:
            with contextlib.suppress(ProviderError):  # the next build clears what would not go
                unmount(draft)
                remove_tree(draft)
    progress("", f"image {recipe.suite} is ready")
    return path_of(recipe.digest)


def _build(argv: list[str], progress: Progress) -> None:
    """Run the build, passing on what it says of its steps. It ends before we do, whatever happens to us."""
    said: deque[str] = deque(maxlen=400)
    build = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # No proxy, no mirror: the caller's environment may name what the way to Debian's archive needs.
        env={**os.environ, **environment()},
        umask=0o022,
        start_new_session=True,
    )
    try:
        assert build.stdout is not None  # noqa: S101 - for the type checker; a pipe was asked for
        for line in build.stdout:
            said.append(line.rstrip())
            if line.startswith("I: "):
                progress("", f"image: {line[3:].strip()}")
        code = build.wait()
    except BaseException:
        os.killpg(build.pid, signal.SIGKILL)
        build.wait()
        build.communicate()  # to the end of its output: then its last process is gone
        raise
    finally:
        if build.stdout is not None:
            build.stdout.close()
    if code != 0:
        raise ProviderError(f"the image cannot be built: {why(list(said))}", hint="is Debian's archive reachable?")


def why(said: list[str]) -> str:
    """The line of a failed build that says most."""
    errors = [line for line in said if line.startswith(("E: ", "W: ", "Err:"))]
    tellers = [line for line in errors if not line.startswith("E: mmdebstrap failed")]
    return (tellers or errors or said or ["it said nothing"])[0][:300]


def _make_parents(path: Path, root: Path) -> None:
    """The folders above a path, readable to all whatever the caller's umask is."""
    for folder in reversed(path.relative_to(root).parents):
        if not (root / folder).is_dir():
            (root / folder).mkdir()
            (root / folder).chmod(0o755)


def customise(root: Path) -> None:
    """Make a bare root an image: what identifies the build machine goes, networkd and sshd are set up."""
    for pattern in ("etc/ssh/ssh_host_*", "var/lib/apt/lists/*_*", "var/cache/apt/*.bin", "var/log/*.log"):
        for path in root.glob(pattern):
            path.unlink()
    (root / "etc/dpkg/dpkg.cfg.d/99mmdebstrap").unlink(missing_ok=True)
    for name, text in _FILES.items():
        path = root / name
        _make_parents(path, root)
        path.unlink(missing_ok=True)  # mmdebstrap copies some of the build machine's, or leaves links
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
    units = root / "etc/systemd/system"
    for name, target in _LINKS.items():
        path = units / name
        _make_parents(path, root)
        path.unlink(missing_ok=True)
        path.symlink_to(target)
    # systemd compares these with /usr, and would rebuild caches and users at each host's first boot.
    for name in ("etc/.updated", "var/.updated"):
        (root / name).write_text("", encoding="ascii")
        newest = (root / "usr").stat().st_mtime_ns
        os.utime(root / name, ns=(newest, newest))
