# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: from a set of Debian packages to the root of a host, the same bytes each time."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from ...errors import ProviderError
from ...store.debs import INDEX, index
from ...store.store import Resolved
from ..base import Progress
from ..command import environment, find
from .java_certificates import settle

#: Below /etc/systemd/system: link -> what it points to.
LINKS = {
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
#: Path in the image -> text.
FILES = {
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
    # A journal takes the disk space of a whole file at once, 8 MiB by default: much for each of many hosts.
    "etc/systemd/journald.conf.d/labctl.conf": (
        "[Journal]\nStorage=persistent\nSystemMaxUse=64M\nSystemMaxFileSize=2M\n"
    ),
    "etc/dpkg/dpkg.cfg.d/labctl": (
        "force-unsafe-io\n"
        "path-exclude=/usr/share/locale/*\n"
        "path-exclude=/usr/share/doc/*\n"
        "path-include=/usr/share/doc/*/copyright\n"
    ),
}
#: Those that have to be there before packages are: what dpkg leaves out, and the one key that sshd's package makes.
_BEFORE = ("etc/dpkg/dpkg.cfg.d/labctl", "etc/ssh/sshd_config.d/00-labctl.conf")


def mmdebstrap_argv(packages: Iterable[str], repository: Path, before: Path, target: Path) -> list[str]:
    """The build's command line. The repository's packages are verified; its index needs no signature.

    Files that dpkg is to leave out are named in a file of ``before`` rather than by --dpkgopt, which would pass every
    package through a filter, and take seconds more; :func:`customise` removes what came before dpkg was there.
    """
    # Its processes and mounts live in namespaces that end with it, and it ends with us, even when we are killed.
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        find("mmdebstrap") or "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        f'--setup-hook=cp -r {_quoted(before)}/. "$1"',
        f"--include={','.join(packages)}",
        "",
        str(target),
        f"deb [trusted=yes] copy:{_encoded(repository)} ./",
    ]


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"


def _encoded(path: Path) -> str:
    """A path in a line of sources.list(5), where blanks part words and % begins a code."""
    return "".join(char if char.isalnum() or char in "/-_.~+" else f"%{ord(char):02x}" for char in str(path))


def build(
    packages: Iterable[str], repository: Resolved, root: Path, progress: Progress, idle: Iterable[str] = ()
) -> None:
    """Make a host's root of a set of packages. ProviderError with mmdebstrap's reason where it cannot.

    Units of packages in ``idle`` do not start at boot.
    """
    debs = [(entry, repository.path / entry.path) for entry in repository.entries if entry.path.endswith(".deb")]
    # No file of a package is younger than the youngest package.
    epoch = index(debs)[1]
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        before = Path(folder)
        for name in _BEFORE:
            write(before, name, FILES[name])
        _run(mmdebstrap_argv(packages, repository.path, before, root), epoch, progress)
    sources = {
        entry.path.removeprefix("apt/"): (repository.path / entry.path).read_text()
        for entry in repository.entries
        if entry.path != INDEX and entry.path.startswith("apt/")
    }
    customise(root, sources)
    disable(root, idle)
    settle(root / "etc/ssl/certs/java/cacerts", epoch)
    settle_times(root, epoch)


def _run(argv: list[str], epoch: int, progress: Progress) -> None:
    """Run the build, passing on what it says of its steps. It ends before we do, whatever happens to us."""
    said: deque[str] = deque(maxlen=400)
    build = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **environment(), "SOURCE_DATE_EPOCH": str(epoch)},
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
        raise ProviderError(f"the image cannot be built: {why(list(said))}")


def why(said: list[str]) -> str:
    """The line of a failed build that says most."""
    errors = [line for line in said if line.startswith(("E: ", "W: ", "Err:"))]
    tellers = [line for line in errors if not line.startswith("E: mmdebstrap failed")]
    return (tellers or errors or said or ["it said nothing"])[0][:300]


def write(root: Path, name: str, text: str) -> None:
    """Write a file of the image anew, its folders readable to all whatever the caller's umask is."""
    path = _cleared(root, name)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)


def _cleared(root: Path, name: str) -> Path:
    """A path whose folders are there, and which is free: mmdebstrap copies some files of the build machine's."""
    path = root / name
    for folder in reversed(path.relative_to(root).parents):
        if not (root / folder).is_dir():
            (root / folder).mkdir()
            (root / folder).chmod(0o755)
    path.unlink(missing_ok=True)
    return path


def customise(root: Path, sources: dict[str, str]) -> None:
    """Make a bare root an image: what identifies the build machine goes, networkd and sshd are set up.

    ``sources`` are the lists of sources that hosts ask for further packages, by their path below /etc/apt.
    """
    for pattern in ("etc/ssh/ssh_host_*", "var/lib/apt/lists/*_*", "var/cache/apt/*.bin", "var/log/*.log"):
        for path in root.glob(pattern):
            path.unlink()
    # nspawn and others mount a /dev of their own.
    for name in ("dev", "usr/share/locale", "etc/apt/sources.list.d"):
        for path in list((root / name).glob("*")):
            _remove(path)
    _remove(root / "etc/apt/sources.list")
    for package in list((root / "usr/share/doc").glob("*")):
        for path in [package] if package.is_symlink() else list(package.glob("*")):
            if path.name != "copyright":
                _remove(path)
    (root / "etc/dpkg/dpkg.cfg.d/99mmdebstrap").unlink(missing_ok=True)
    for name, text in {**FILES, **{f"etc/apt/{name}": text for name, text in sources.items()}}.items():
        write(root, name, text)
    for name, target in LINKS.items():
        _cleared(root, f"etc/systemd/system/{name}").symlink_to(target)
    # systemd compares these with /usr, and would rebuild caches and users at each host's first boot.
    for name in ("etc/.updated", "var/.updated"):
        (root / name).write_text("", encoding="ascii")
        newest = (root / "usr").stat().st_mtime_ns
        os.utime(root / name, ns=(newest, newest))


def disable(root: Path, packages: Iterable[str]) -> None:
    """Take away the links by which units of packages start at boot.

    An image serves all hosts of a lab, and it is for roles to say which of them run what.
    """
    lists = (path for name in packages for path in (root / "var/lib/dpkg/info").glob(f"{name}.list"))
    files = (Path(line) for path in lists for line in path.read_text(encoding="utf-8").splitlines())
    units = {path.name for path in files if path.parent.parts[-2:] == ("systemd", "system")}
    for kind in ("wants", "requires"):
        for link in (root / "etc/systemd/system").glob(f"*.{kind}/*"):
            if link.name in units:
                link.unlink()
                with contextlib.suppress(OSError):
                    link.parent.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def settle_times(root: Path, epoch: int) -> None:
    """Give whatever was made or changed by the build the same time, in seconds since 1970."""
    for folder, folders, names in os.walk(root, topdown=False):
        for path in (f"{folder}/{name}" for name in (*names, *folders)):
            if os.lstat(path).st_mtime_ns > epoch * 10**9:
                os.utime(path, (epoch, epoch), follow_symlinks=False)
    os.utime(root, (epoch, epoch))
