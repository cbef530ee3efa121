# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: names of a section in /etc/hosts, in a marked block of the section's own.

Whatever stands outside of the block stays as it is: the host's own lines, the provider's block, other sections' blocks.
Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Change
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError
from ansible_collections.labctl.stacks.plugins.module_utils.fileops import Found, look, stage
from ansible_collections.labctl.stacks.plugins.module_utils.managed_files import content_diff
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import ABSENT

PATH = "/etc/hosts"
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def plain_address(address: str) -> str:
    """An address in the one form that it is compared in; what is none stays as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def names_in(lines: list[str]) -> list[tuple[str, str]]:
    """(name, address) of every name in lines of a hosts(5) file, aliases too."""
    fields = [line.partition("#")[0].split() for line in lines]
    return [(name.lower(), plain_address(words[0])) for words in fields for name in words[1:]]


def split(lines: list[str], begin: str, end: str, ours: set[str]) -> tuple[list[str], list[str], list[str]]:
    """Lines before a block, in it, and after it. Where its end is gone, only lines that are ``ours`` belong to it."""
    if begin not in lines:
        return lines, [], []
    first = lines.index(begin)
    rest = lines[first + 1 :]
    if end in rest:
        size = rest.index(end)
        return lines[:first], rest[:size], rest[size + 1 :]
    size = next((number for number, line in enumerate(rest) if line not in ours), len(rest))
    return lines[:first], rest[:size], rest[size:]


class HostNames:
    """Plan and apply the names of one section; ``names`` maps each to its address."""

    def __init__(self, call: Call, names: dict[str, Any], path: str = PATH) -> None:
        self.call = call
        self.path = path
        self.names = {str(name): str(address) for name, address in sorted(names.items())}
        self._old = call.manifest.records(call.key, "host_names")
        self._found: Found | None = None
        self._wanted: list[str] = []

    def plan(self) -> list[Change]:
        """Compare with the file. ConvergeError where a name of ours has another address elsewhere in it."""
        for name, address in self.names.items():
            if not _NAME.fullmatch(name) or name == "localhost":
                raise InputError(f"{name!r} is not a host's name", hint="use lower-case letters, digits, '-' and '.'")
            try:
                self.names[name] = str(ipaddress.ip_address(address))
            except ValueError:
                raise InputError(f"host name {name}: {address!r} is not an address", hint="give one address") from None
        self._found = look(self.path)
        if self._found and self._found.kind != "file":
            raise ConvergeError(f"{self.path} is a {self._found.kind} on this host, not a file", hint="mend it by hand")
        block = f"{self.call.manifest.role}/{self.call.key.split('/')[1]}"
        begin, end = f"# labctl: begin {block}", f"# labctl: end {block}"
        ours = {f"{record['address']}\t{name}" for name, record in self._old.items()}
        before, inside, after = split(self._lines(), begin, end, ours)
        self._refuse_others(names_in(before + after))
        lines = [f"{address}\t{name}" for name, address in self.names.items()]
        self._wanted = [*before, begin, *lines, end, *after] if lines else before + after
        return self._changes(dict(names_in(inside)))

    def _lines(self) -> list[str]:
        text = self._found.content.decode(errors="surrogateescape") if self._found else ""
        return (text[:-1] if text.endswith("\n") else text).split("\n") if text else []

    def _refuse_others(self, elsewhere: list[tuple[str, str]]) -> None:
        """A resolver would take the first line, or all: what we write would not be what the name means."""
        for name, address in elsewhere:
            if self.names.get(name, address) != address:
                raise ConvergeError(
                    f"{self.path} has {name} with address {address} already, and {self.names[name]} is declared",
                    hint=f"remove that line, or declare {address}",
                )

    def _changes(self, now: dict[str, str]) -> list[Change]:
        """``now`` is what our block says."""
        changes = [
            Change(f"host name {name}", now.get(name, ABSENT), address)
            for name, address in self.names.items()
            if now.get(name) != address
        ]
        changes += [Change(f"host name {name}", now[name], "removed") for name in sorted(now) if name not in self.names]
        if self._differs and not changes:
            changes.append(Change(self.path, "lines of ours in another form", "as declared"))
        return changes

    @property
    def _differs(self) -> bool:
        return self._lines() != self._wanted

    def diff(self) -> list[dict[str, str]]:
        """The file's diff."""
        before = self._found.content if self._found else b""
        return [content_diff(self.path, before, self._bytes, secret=False)] if self._differs else []

    @property
    def _bytes(self) -> bytes:
        return "".join(f"{line}\n" for line in self._wanted).encode(errors="surrogateescape")

    def apply(self) -> None:
        """Write the file where it differs, with the owner and mode that it has."""
        if not self._differs:
            return
        now = self._found
        owner, group, mode = (now.owner, now.group, now.mode) if now else ("root", "root", "0644")
        staged = stage(self.path, self._bytes, owner, group, mode)
        try:
            staged.commit()
        except OSError as exc:
            if exc.errno != errno.EBUSY:
                raise
            # A container's, mounted from outside: nothing can be renamed over it.
            descriptor = os.open(self.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_TRUNC)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(self._bytes)
        finally:
            staged.discard()

    def records(self) -> list[dict[str, Any]]:
        """The section's records, once applied."""
        return [{"name": name, "address": address} for name, address in self.names.items()]

    def intent(self) -> list[dict[str, Any]]:
        """What to write down before acting."""
        return self.records() + [record for name, record in self._old.items() if name not in self.names]
