# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: a host's root, which is an overlay over the unpacked image.

What makes a host itself (keys, names, address) is written into the upper layer before the first mount. Later
changes go through the mounted root, one folder at a time and never through a link: what lies in there belongs to
the host, and a link of its making must not lead us out of it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

from ...errors import ProviderError
from ..command import run
from .network import gateway

BEGIN, END = "# labctl: begin", "# labctl: end"


def block(text: str, lines: list[str]) -> str:
    """``text`` with what stands between our two marks replaced, or added at its end."""
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        if line == BEGIN:
            inside = True
        elif line == END:
            inside = False
        elif not inside:
            kept.append(line)
    return "\n".join([*kept, BEGIN, *lines, END]) + "\n"


def hosts_lines(addresses: Mapping[str, str]) -> list[str]:
    """All lab hosts for /etc/hosts. Each name has its lab address alone, so that daemons bind where others look."""
    return [f"{address}\t{name}" for name, address in addresses.items()]


def hosts_text(addresses: Mapping[str, str]) -> str:
    return block("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n", hosts_lines(addresses))


def network_text(address: str, subnet: IPv4Network) -> str:
    """systemd.network(5) for the host's one interface. Link-local addressing is off: it would delay what waits."""
    return (
        "[Match]\nName=host0\nVirtualization=container\n\n"
        f"[Network]\nAddress={address}/{subnet.prefixlen}\nGateway={gateway(subnet)}\n"
        "DHCP=no\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nLLDP=no\nEmitLLDP=no\n"
    )


def host_files(
    *,
    name: str,
    address: str,
    subnet: IPv4Network,
    addresses: Mapping[str, str],
    resolver: list[str],
    machine_id: str,
    authorized_key: str,
    host_key: tuple[str, str],
) -> dict[str, tuple[str, int]]:
    """Path below the host's root -> (text, mode) of every file that makes a host itself."""
    private, public = host_key
    return {
        "etc/hostname": (f"{name}\n", 0o644),
        # Written rather than left empty: an empty one makes the first boot a slow one.
        "etc/machine-id": (f"{machine_id}\n", 0o444),
        "etc/hosts": (hosts_text(addresses), 0o644),
        "etc/resolv.conf": (block("", resolver), 0o644),
        # Sorts before 80-container-host0.network, which would ask for an address by DHCP.
        "etc/systemd/network/10-host0.network": (network_text(address, subnet), 0o644),
        "etc/ssh/ssh_host_ed25519_key": (private, 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (f"{public}\n", 0o644),
        "root/.ssh/authorized_keys": (block("", [authorized_key]), 0o600),
    }


def fill_upper(upper: Path, image: Path, files: Mapping[str, tuple[str, int]]) -> None:
    """Write files into an upper layer that is not mounted. Folders get the mode they have in the image, because the
    upper layer's mode is the one that counts."""
    for path, (text, mode) in files.items():
        folder = upper
        for part in Path(path).parent.parts:
            folder = folder / part
            if not folder.exists():
                lower = image / folder.relative_to(upper)
                default = 0o700 if part == ".ssh" else 0o755
                # mkdir's mode goes through the caller's umask, chmod's does not.
                folder.mkdir()
                folder.chmod(stat.S_IMODE(lower.lstat().st_mode) if lower.is_dir() else default)
        target = upper / path
        target.write_text(text, encoding="utf-8")
        target.chmod(mode)


# Mounts ---------------------------------------------------------------------------------------------------------


def mounts_below(folder: Path, mountinfo: str | None = None) -> list[Path]:
    """Mount points at or below a folder, the deepest first."""
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8") if mountinfo is None else mountinfo
    points = [Path(_unescape(line.split(" ")[4])) for line in text.splitlines() if line]
    return sorted((point for point in points if point.is_relative_to(folder)), key=lambda p: -len(p.parts))


def _unescape(field: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, char)
    return field


def mount(host_dir: Path, image: Path) -> None:
    """Mount a host's root unless it is mounted. The image is named relative to its parent: option values may hold
    neither comma nor colon, and a cache folder's path may."""
    root = host_dir / "root"
    if mounts_below(root):
        return
    options = f"lowerdir={image.name},upperdir={host_dir / 'upper'},workdir={host_dir / 'work'}"
    try:
        run(["mount", "-t", "overlay", "labctl", "-o", options, str(root)], cwd=image.parent)
    except ProviderError as exc:
        raise ProviderError(
            f"the root of host {host_dir.name} cannot be mounted: {exc}",
            hint=f"{host_dir} must lie on a file system such as ext4 or xfs, not on an overlay",
        ) from exc


def unmount(folder: Path) -> bool:
    """Unmount all at and below a folder; whether there was anything."""
    points = mounts_below(folder)
    for point in points:
        try:
            run(["umount", str(point)])
        except ProviderError:
            # Something still looks into it, for example a shell of the user's.
            run(["umount", "--lazy", str(point)])
    return bool(points)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all in it, but never across a mount."""
    if mounts_below(folder):
        raise ProviderError(f"something is still mounted below {folder}", hint="unmount it, then try again")
    if folder.is_dir() and not folder.is_symlink():
        # rm is many times faster than shutil.rmtree on a root file system.
        run(["rm", "-rf", "--one-file-system", "--", str(folder)], timeout=600)
    else:
        with contextlib.suppress(FileNotFoundError):
            folder.unlink()


def clear_half_made(host_dir: Path) -> None:
    """Make a host's folder anew, after a host was half-made in it."""
    unmount(host_dir)
    if host_dir.exists():
        remove_tree(host_dir)
    host_dir.mkdir(mode=0o700)
    for name in ("upper", "work", "root"):
        (host_dir / name).mkdir()
        (host_dir / name).chmod(0o755)


# Files of a live root -------------------------------------------------------------------------------------------


@contextmanager
def _folder(root: Path, path: str) -> Iterator[int]:
    """A descriptor of the folder that ``path`` lies in, reached without following any link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    descriptor = os.open(root, flags)
    try:
        for part in Path(path).parent.parts:
            inner = os.open(part, flags, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def set_block(root: Path, path: str, lines: list[str]) -> bool:
    """Bring our block in a file of a mounted root up to date; whether it was not. The host's own lines stay.

    A file that the host removed, or put a link in place of, is left to it.
    """
    name = Path(path).name
    try:
        with _folder(root, path) as folder:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            with os.fdopen(descriptor, encoding="utf-8", errors="surrogateescape") as stream:
                found = os.fstat(stream.fileno())
                if not stat.S_ISREG(found.st_mode) or found.st_size > 2**20:
                    return False
                old = stream.read()
            new = block(old, lines)
            if new == old:
                return False
            draft = f".{name}.labctl"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=folder)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as stream:
                os.fchown(stream.fileno(), found.st_uid, found.st_gid)
                os.fchmod(stream.fileno(), stat.S_IMODE(found.st_mode))
                stream.write(new)
            os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
            return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as exc:
        if exc.errno == 40:  # ELOOP: a link stands there
            return False
        raise ProviderError(f"/{path} in {root} cannot be brought up to date: {exc.strerror}") from exc
