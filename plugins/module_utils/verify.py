# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the verifier, a read-only program that compares a host with its manifests.

``labctl`` sends this source over ssh with a request, and it prints one line of JSON::

    {"seals": {KEY: SEAL}}  ->  {"manifests": {ROLE: SHA256}, "seals": {...}, "skipped": [CHECK, ...],
                                 "drift": [[ROLE, KIND, ITEM, WHAT, EXPECTED, FOUND], ...]}
    {"contents": [PATH]}    ->  {"manifests": {ROLE: TEXT}, "contents": {PATH: BASE64}}

Whatever cannot be looked at, and whatever a manifest holds that is not known here, is drift: silence means equal.

**Seals.** Owner, mode and kind of everything are looked at each time. Content is not read again where the group of
files it belongs to (a section, a tree) has the *seal* it had when all of it was last read and was right: a digest over
each file's path, expected digest, device, inode, size, mtime and ctime. Whoever writes to a file moves its ctime, and
no call sets a ctime back (utimes(2) itself moves it), so an edit with size and mtime put back is seen. What is left is
an edit within the same tick of the clock as the one before it ("racily clean" in git's words, Documentation/technical/
racy-git): so a seal is given out only when nothing in the group was touched in the two seconds before it was read, nor
carries a time in the future. Seals are kept by the controller: a host does not vouch for itself. Not seen through a
valid seal, and seen without: what changes bytes below the file system, root who sets the clock back, and stores through
a memory mapping that was dirty when its file was read.

Runs on hosts: standard library only, Python 3.8 and newer. Starting Python is most of what a run costs, so modules that
take long to import (json, hashlib, typing, subprocess, socket) are avoided or imported late. The program is this file
with verify_files.py, verify_net.py and verify_bus.py beside it, which are sent along.
"""

from __future__ import annotations

import os
import stat

from ansible_collections.labctl.stacks.plugins.module_utils.verify_bus import Units
from ansible_collections.labctl.stacks.plugins.module_utils.verify_files import (
    BIG,
    dump,
    lstat,
    parse,
    read,
    section_digest,
    sha,
    text_of,
    words,
)
from ansible_collections.labctl.stacks.plugins.module_utils.verify_net import Answers, Network, Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Kinds in two rounds: systemd and the network work on their answers during the first.
KINDS = (
    (
        "files",
        "links",
        "trees",
        "directories",
        "packages",
        "users",
        "groups",
        "sysctls",
        "kernel_modules",
        "host_names",
    ),
    ("units", "checks", "probes"),
)


class Look(Answers):
    """One look at everything that any role has recorded: the system's own things here, the others by the bases."""

    def run(self) -> None:
        """Look at everything that any role has recorded."""
        self.load()
        records = [
            (role, key, kind, record)
            for role, sections in self.roles.items()
            for key, section in sections.items()
            for kind, listed in section.items()
            for record in listed
        ]
        self.declared = {
            record.get("path", "") for _, _, kind, record in records if kind in ("files", "links", "trees")
        }
        units = [record for _, _, kind, record in records if kind == "units" and not record.get("template")]
        self.units = Units(sorted({record.get("name", "") for record in units})) if units else None
        self.network = Network()
        self.programs: dict[int, Program] = {}
        for _, _, kind, record in records:
            if kind in ("checks", "probes"):
                self.begin(kind, record)
        self.network.pump(0)
        for turn, kinds in enumerate(KINDS):
            for self.role, key, kind, record in records:
                if kind in kinds:
                    self.group = f"{self.role}:{key}:{turn}"
                    self.one(kind, record)
            self.settle()
        for self.role, key, kind, _ in records:
            if kind not in KINDS[0] + KINDS[1]:
                self.tell("manifest", key, f"kind {kind} is not known: made by a newer labctl")

    def one(self, kind: str, record: dict[str, Any]) -> None:
        """Look at one record; not being able to is drift of it."""
        item = str(record.get("path") or record.get("name"))
        try:
            getattr(self, f"see_{kind}")(record, item)
        except Exception as exc:  # noqa: BLE001, RUF100 - whatever it is, it must not look like "equal"
            self.tell("directory" if kind == "directories" else kind[:-1], item, "cannot be checked", "", words(exc))

    def see_packages(self, record: dict[str, Any], name: str) -> None:
        """A package, in dpkg's own database."""
        if "dpkg" not in self._cached:
            if any(entry.isdigit() for entry in os.listdir("/var/lib/dpkg/updates")):  # noqa: PTH208
                raise ValueError("dpkg was interrupted, or is at work")
            self._cached["dpkg"] = "\n\n" + text_of("/var/lib/dpkg/status")
        database, found = self._cached["dpkg"], []
        plain, _, architecture = name.partition(":")
        at = database.find(f"\nPackage: {plain}\n")
        while at >= 0:
            lines = database[at + 1 : database.find("\n\n", at + 1)].split("\n")
            fields = dict(line.split(": ", 1) for line in lines if ": " in line and line[0] != " ")
            if fields["Status"].endswith(" installed") and architecture in ("", fields["Architecture"]):
                found.append(fields["Version"])
            at = database.find(f"\nPackage: {plain}\n", at + 1)
        if record["version"] not in found:
            self.tell("package", name, "version", record["version"], ", ".join(found) or "not installed")

    def see_users(self, record: dict[str, Any], name: str) -> None:
        """A user, with what was declared of it."""
        entry = self.accounts("passwd").get(name)
        if entry is None:
            import pwd

            entry = [str(field) for field in pwd.getpwnam(name)]
        self.compare("user", name, "group", self.number("group", record["group"]), int(entry[3]))
        for what, at in (("comment", 4), ("home", 5), ("shell", 6)):
            if what in record:
                self.compare("user", name, what, record[what], entry[at])
        for group in record.get("groups", []):
            _, _, number, members = self.accounts("group")[group]
            if name not in members.split(",") and number != entry[3]:
                self.tell("user", name, "further groups", group, "not a member")

    def see_groups(self, record: dict[str, Any], name: str) -> None:
        """A group; the error for a missing one is its drift."""
        self.number("group", name)

    def see_sysctls(self, record: dict[str, Any], key: str) -> None:
        """A kernel setting; sysctl.d(5): the first separator decides which of . and / separates."""
        first = next((char for char in key if char in "./"), "")
        path = key.translate({46: "/", 47: "."}) if first == "." else key
        self.compare("sysctl", key, "value", record["value"], " ".join(text_of(f"/proc/sys/{path}").split()))

    def see_kernel_modules(self, record: dict[str, Any], name: str) -> None:
        """A kernel module, loaded or built in."""
        plain = name.replace("-", "_")
        if os.path.isdir(f"/sys/module/{plain}") or plain in text_of("/proc/filesystems").split():  # noqa: PTH112
            return
        builtin = text_of(f"/lib/modules/{os.uname().release}/modules.builtin").replace("-", "_")
        if f"/{plain}.ko" not in builtin:
            self.tell("kernel_module", name, "state", "loaded", "not loaded")

    def see_host_names(self, record: dict[str, Any], name: str) -> None:
        """A name in /etc/hosts, with its address and no other."""
        found = self.network.hosts.get(name, [])
        address = self.network.address(record["address"])
        if not found or any(self.network.address(one) != address for one in found):
            self.tell("host_name", name, "address", record["address"], ", ".join(found) or "none")

    def see_units(self, record: dict[str, Any], name: str) -> None:
        """A unit: its state, that it is as it was loaded, and that it runs on what is configured."""
        if record.get("template"):
            return
        if "units" not in self._cached:
            self._cached["units"] = self.units.states() if self.units else {}
        now = self._cached["units"][name]
        if now["LoadState"] != "loaded":
            self.tell("unit", name, "load state", "loaded", now["LoadState"])
            return
        self.compare("unit", name, "enabled", record["file_state"], now["UnitFileState"])
        self.compare("unit", name, "drop-ins", " ".join(sorted(record["drop_ins"])), drop_ins(now))
        self.compare("unit", name, "file", record["fragment"], now["FragmentPath"])
        self.compare("unit", name, "changed since systemd loaded it", "no", now["NeedDaemonReload"])
        self.see_process(record, name, now)
        sources = {record["fragment"]: record["fragment_sha256"], **record["drop_ins"]}
        for path, digest in sources.items():
            if path and path not in self.declared:
                # Before the list is made: a drop-in that is gone must not leave an empty one to be sealed.
                status = os.stat(path)  # noqa: PTH116
                self.readings.setdefault(self.group, []).append(("unit", path, {"sha256": digest}, status))
        if record.get("pending"):
            self.tell("unit", name, "runs on", "what is configured", "not known: it was not started with success")
        for where, digest in record.get("reads", {}).items():
            role, _, key = where.partition(":")
            if section_digest(self.roles.get(role, {}).get(key, {}).get("files", [])) != digest:
                self.tell("unit", name, "runs on", "what is configured", f"older files of {where}")

    def see_process(self, record: dict[str, Any], name: str, now: dict[str, str]) -> None:
        """Whether it runs as recorded, and is the very run that labctl saw last."""
        state = now["ActiveState"]
        if record["active"] == "active":
            good = state in ("active", "reloading", "refreshing")
            sub = record.get("sub", "") if name.endswith(".service") and state == "active" else now["SubState"]
            if not good or (sub and sub != now["SubState"]):
                self.tell("unit", name, "state", f"active ({record.get('sub', '')})", f"{state} ({now['SubState']})")
                return
            if not record.get("pending") and record["invocation"] != now["InvocationID"]:
                self.tell("unit", name, "run", "the one labctl saw last", "started again since")
            if now.get("MainPID", "0") != "0":
                process = text_of(f"/proc/{now['MainPID']}/stat").rpartition(")")[2].split()[0]
                if process in "TtZX":
                    self.tell("unit", name, "process", "running", {"T": "stopped", "t": "traced"}.get(process, "dead"))
        elif state != "inactive" and ("started" in record or state != "failed"):
            # A unit that shall be stopped is so when it failed, too; one that does its work and ends is not.
            self.tell("unit", name, "state", "inactive", f"{state} ({now['SubState']})")


def drop_ins(now: dict[str, str]) -> str:
    """The drop-ins systemd has loaded, sorted, in a line."""
    return " ".join(sorted(now.get("DropInPaths", "").split()))


def contents(look: Look, paths: list[str]) -> dict[str, str]:
    """The content in base64 of those of the files that some role manages and none calls secret."""
    import binascii

    listed = [
        record
        for sections in look.roles.values()
        for section in sections.values()
        for record in section.get("files", [])
    ]
    secret = {record["path"] for record in listed if record.get("secret")}
    found = {}
    for path in {record["path"] for record in listed} & set(paths) - secret:
        status = lstat(path)
        if status is not None and stat.S_ISREG(status.st_mode) and status.st_size <= BIG:
            found[path] = binascii.b2a_base64(read(path, status), newline=False).decode()
    return found


def main(text: str) -> None:
    """Answer a request."""
    request = parse(text)
    look = Look(request)
    if "contents" in request:
        look.load()
        texts = {role: text.decode(errors="replace") for role, text in look.texts.items()}
        answer: dict[str, Any] = {"manifests": texts, "contents": contents(look, request["contents"])}
    else:
        look.run()
        digests = {role: sha(text) for role, text in look.texts.items()}
        answer = {"manifests": digests, "drift": look.drift, "seals": look.seals, "skipped": look.skipped}
    os.write(1, f"\nlabctl {dump(answer)}\n".encode())
