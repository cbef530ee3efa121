# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports and mounts, as data, in the words of NFS-Ganesha, of exports(5) and of systemd."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

#: Words of an export's options, and what NFS-Ganesha calls the matter and the choice.
OPTIONS = {
    "rw": ("Access_Type", "RW"),
    "ro": ("Access_Type", "RO"),
    "root_squash": ("Squash", "Root_Squash"),
    "no_root_squash": ("Squash", "No_Root_Squash"),
    "all_squash": ("Squash", "All_Squash"),
    "secure": ("PrivilegedPort", True),
    "insecure": ("PrivilegedPort", False),
}
NUMBERS = {"anonuid": "Anonymous_uid", "anongid": "Anonymous_gid"}
#: Without further words, as with the kernel's server. A client's port below 1024 says that its root asks, and not some
#: user who says that he is another; and who is squashed is nobody, where Ganesha's own default is no user at all.
DEFAULTS = {
    "Access_Type": "RW",
    "Squash": "Root_Squash",
    "PrivilegedPort": True,
    "Anonymous_uid": 65534,
    "Anonymous_gid": 65534,
}
_PATH = re.compile(r"/|(/[A-Za-z0-9_@:+,-][A-Za-z0-9_.@:+,-]*)+")
_CLIENT = re.compile(r"[A-Za-z0-9_.:/*?@-]+")
_TOKEN = re.compile(r"[A-Za-z0-9_./:@*?-]+")


def ganesha_conf(blocks: Mapping[str, Any]) -> str:
    """Render blocks of settings as NFS-Ganesha's configuration file.

    ``blocks`` maps names to blocks, which are mappings of settings and further blocks; a list of mappings is a block
    that is repeated. Lists are joined by commas, and what is null is left out. AnsibleFilterError for anything else.
    """
    if not isinstance(blocks, Mapping):
        raise AnsibleFilterError(f"ganesha_conf: expected a dictionary of blocks, got {type(blocks).__name__}")
    lines = ["# Managed by Ansible (labctl.stacks)."]
    for name in sorted(blocks):
        lines += _block(str(name), blocks[name], "")
    return "\n".join(lines) + "\n"


def _block(name: str, content: Any, indent: str) -> list[str]:
    if content is None:
        return []
    if isinstance(content, (list, tuple)):
        return [line for one in content for line in _block(name, one, indent)]
    if not isinstance(content, Mapping) or not _TOKEN.fullmatch(name):
        raise AnsibleFilterError(f"ganesha_conf: {name!r} is no block of settings")
    lines = [f"{indent}{name} {{"]
    for key in sorted(content):
        value = content[key]
        if isinstance(value, Mapping) or (
            isinstance(value, (list, tuple)) and any(isinstance(v, Mapping) for v in value)
        ):
            lines += _block(str(key), value, f"{indent}  ")
        elif value is not None:
            lines.append(f"{indent}  {key} = {_value(f'{name}.{key}', value)};")
    return [*lines, f"{indent}}}"]


def _value(where: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(where, one) for one in value)
    text = str(value)
    if not isinstance(value, (str, int, float)) or set(text) & set('"\\\n\r') or not text:
        raise AnsibleFilterError(f"ganesha_conf: {where} cannot be {value!r}")
    return text if _TOKEN.fullmatch(text) else f'"{text}"'


def _checked(exports: Any, addresses: Mapping[str, str]) -> list[dict[str, Any]]:
    """Exports with all they need: path, id, clients as addresses, options as Ganesha's settings; each path once."""
    found: list[dict[str, Any]] = []
    for export in exports:
        path = str(export.get("path", ""))
        if not _PATH.fullmatch(path):
            raise AnsibleFilterError(f"nfs_exports: {path!r} is no path of an export; write it as in /shared")
        names = export.get("clients") or sorted(addresses)
        clients = [str(addresses.get(name) or name) for name in names]
        if wrong := [client for client in clients if not _CLIENT.fullmatch(client)]:
            raise AnsibleFilterError(f"nfs_exports: {path}: {wrong[0]!r} is no host, address or network")
        if not clients:
            raise AnsibleFilterError(f"nfs_exports: {path} has no clients")
        number = int(export.get("id") or zlib.crc32(path.encode()) % 65534 + 1)
        for other in found:
            if path == other["path"]:
                raise AnsibleFilterError(f"nfs_exports: {path} is there twice")
            if number == other["id"]:
                raise AnsibleFilterError(
                    f"nfs_exports: {path} and {other['path']} have one id; give one an id of its own"
                )
        settings = _settings(path, export.get("options") or [])
        found.append({"path": path, "id": number, "clients": clients, "settings": settings})
    return found


def _settings(path: str, options: Iterable[Any]) -> dict[str, Any]:
    settings: dict[str, Any] = dict(DEFAULTS)
    for option in options:
        word, _, number = str(option).partition("=")
        if word in NUMBERS and number.isdecimal():
            settings[NUMBERS[word]] = int(number)
        elif word in OPTIONS and not number:
            name, value = OPTIONS[word]
            settings[name] = value
        else:
            known = ", ".join([*OPTIONS, *(f"{name}=NUMBER" for name in NUMBERS)])
            raise AnsibleFilterError(f"nfs_exports: {path}: unknown option {option!r} (known: {known})")
    return settings


def _below(folder: str, path: str) -> str:
    return folder.rstrip("/") + path if path != "/" else folder


def ganesha_exports(exports: Any, folder: str, addresses: Mapping[str, str]) -> list[dict[str, Any]]:
    """Blocks EXPORT of NFS-Ganesha for exports below ``folder``; ``addresses`` maps names of hosts to addresses.

    Nobody but its clients may do anything with an export. An export's id is part of the handles that clients keep, so
    it is made of the path and not of the place in the list.
    """
    return [
        {
            "Export_Id": export["id"],
            "Path": _below(folder, export["path"]),
            "Pseudo": export["path"],
            "Access_Type": "None",
            "CLIENT": {"Clients": export["clients"], **export["settings"]},
            "FSAL": {"Name": "VFS"},
        }
        for export in _checked(exports, addresses)
    ]


def kernel_exports(exports: Any, addresses: Mapping[str, str]) -> str:
    """The same exports as lines of exports(5), for a server whose ``rootdir``, by nfs.conf(5), is their folder."""
    words = {value: word for word, value in OPTIONS.items()}
    lines = ["# Managed by Ansible (labctl.stacks)."]
    for export in _checked(exports, addresses):
        settings = export["settings"]
        options = [words[(name, settings[name])] for name in ("Access_Type", "Squash", "PrivilegedPort")]
        options += [f"{word}={settings[name]}" for word, name in NUMBERS.items()]
        options += ["sync", "no_subtree_check", f"fsid={0 if export['path'] == '/' else export['id']}"]
        clients = [f"{client}({','.join(options)})" for client in export["clients"]]
        lines.append(" ".join([export["path"], *clients]))
    return "\n".join(lines) + "\n"


def export_directories(exports: Any, folder: str) -> list[dict[str, Any]]:
    """The folders of exports, as the module system takes them; what is in them is data."""
    return [
        {
            "path": _below(folder, export["path"]),
            "owner": export.get("owner") or "root",
            "group": export.get("group") or "root",
            "mode": export.get("mode") or "01777",
            "data": True,
        }
        for export in exports
    ]


def mount_units(mounts: Any, server: str, options: Iterable[str]) -> list[dict[str, str]]:
    """Units that mount exports of a server, as the module unit takes them; see systemd.mount(5)."""
    units: list[dict[str, str]] = []
    for mount in mounts:
        path, words = str(mount["path"]), ",".join([*options, *(mount.get("options") or [])])
        if not _PATH.fullmatch(str(mount["export"])) or re.search(r"[\s%\\]", words):
            raise AnsibleFilterError(f"mount_units: {path}: the export {mount['export']!r} or {words!r} is none")
        name = mount_unit(path)
        if name in {unit["name"] for unit in units}:
            raise AnsibleFilterError(f"mount_units: two mounts are at {path}")
        lines = [
            "# Managed by Ansible (labctl.stacks).",
            "[Unit]",
            f"Description=NFS export {mount['export']} of {server}",
            "Wants=network-online.target",
            "After=network-online.target",
            "",
            "[Mount]",
            f"What={server}:{mount['export']}",
            f"Where={path}",
            "Type=nfs4",
            f"Options={words}",
            "TimeoutSec=60",
            "",
            "[Install]",
            "WantedBy=remote-fs.target",
        ]
        units.append({"name": name, "content": "\n".join(lines) + "\n"})
    return units


def mount_unit(path: str) -> str:
    """The name of the unit that mounts at a path, as systemd-escape --path makes it; see systemd.unit(5)."""
    if not _PATH.fullmatch(path) or path == "/":
        raise AnsibleFilterError(f"mount_units: {path!r} is no absolute path to mount at")
    parts = re.sub("[^A-Za-z0-9:_./]", lambda char: f"\\x{ord(char[0]):02x}", path.strip("/"))
    return parts.replace("/", "-") + ".mount"


class FilterModule:
    """Ansible's way to find the filters."""

    def filters(self) -> dict[str, Any]:
        return {
            "ganesha_conf": ganesha_conf,
            "ganesha_exports": ganesha_exports,
            "kernel_exports": kernel_exports,
            "export_directories": export_directories,
            "mount_units": mount_units,
        }
