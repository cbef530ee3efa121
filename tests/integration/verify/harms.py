# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Harm done to a host by shell, how it is undone, and what labctl must name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Harm:
    """``do`` and ``undo`` are shell; ``items`` is "kind item" of everything that must be told, and nothing else."""

    name: str
    do: str
    undo: str
    items: frozenset[str]
    #: What it touches: one harm at a time for each.
    target: str


FILES = (
    "/etc/vfy/site.conf",
    "/etc/vfy/run.sh",
    "/etc/vfy/password",
    "/etc/vfy/other.conf",
    "/etc/sysctl.d/labctl-vfy-main.conf",
)
FOLDERS = ("/etc/vfy", "/var/lib/vfy")
UNITS = ("vfy-web.service", "vfy-job.service", "vfy-off.service")

#: Of a file, in shell with $f for it. Size and mtime stay the same in the worst of them.
FILE_HARMS = {
    "edited": 'echo "# x" >> $f',
    "truncated": ": > $f",
    "emptied and filled again otherwise": "tr a-y b-z < $f > /root/new && cat /root/new > $f",
    "edited, mtime put back": 'touch -r $f /root/ref; echo "# x" >> $f; touch -r /root/ref $f',
    "edited, size and mtime the same": "touch -r $f /root/ref; printf X | dd of=$f conv=notrunc status=none;"
    " touch -r /root/ref $f",
    "replaced, size and mtime the same": "cp -p $f /root/new; printf X | dd of=/root/new conv=notrunc status=none;"
    " touch -r $f /root/new; mv /root/new $f",
    "edited through a hard link, mtime put back": "touch -r $f /root/ref; ln $f /root/hard; "
    "printf X | dd of=/root/hard conv=notrunc status=none; touch -r /root/ref $f; rm /root/hard",
    "a link to an equal file": "cp -p $f /root/equal; ln -sf /root/equal $f",
    "a link to nothing": "ln -sf /nowhere $f",
    "a folder": "rm $f; mkdir $f",
    "a pipe": "rm $f; mkfifo $f",
    "mode": "chmod o+w $f",
    "setuid": "chmod u+s $f",
    "owner": "chown nobody $f",
    "group": "chgrp nogroup $f",
    "deleted": "rm $f",
}


def of_files() -> list[Harm]:
    """Every harm of every file."""
    harms = []
    for path in FILES:
        for name, do in FILE_HARMS.items():
            kept = f"/root/kept{path.replace('/', '_')}"
            act = f"f={path}; cp -p $f {kept}; {do}"
            back = f"rm -rf {path}; cp -p {kept} {path}"
            harms.append(Harm(f"{path}: {name}", act, back, frozenset({f"file {path}"}), path))
    return harms


def of_folders() -> list[Harm]:
    """Modes, owners, strays, and a link in place of a folder."""
    harms = []
    for path in FOLDERS:
        told = frozenset({f"directory {path}"})
        undo = f"/root/undo{path.replace('/', '_')}"
        state = f"stat -c 'chown %u:%g {path}; chmod %a {path}' {path} > {undo}"
        back = f"sh {undo}"
        harms.append(Harm(f"{path}: mode", f"{state}; chmod 0777 {path}", back, told, path))
        harms.append(Harm(f"{path}: owner", f"{state}; chown daemon {path}", back, told, path))
        link = f"mv {path} /root/moved; ln -s /root/moved {path}"
        harms.append(Harm(f"{path}: a link", link, f"rm {path}; mv /root/moved {path}", told, path))
    for name, do in {
        "stray": "echo > $s",
        "stray link": "ln -s /etc/passwd $s",
        "hidden stray": "s=/etc/vfy/.swp; echo > $s",
        "stray pipe": "mkfifo $s",
    }.items():
        path = "/etc/vfy/.swp" if "hidden" in name else "/etc/vfy/stray.conf"
        harms.append(Harm(name, f"s={path}; {do}", f"rm {path}", frozenset({f"file {path}"}), path))
    return harms


def of_system() -> list[Harm]:
    """Packages, users, groups and kernel settings."""
    ping, user, group = "package iputils-ping", "user vfy", "group vfyextra"
    status, keep = "/var/lib/dpkg/status", "cp -p /etc/passwd /etc/group /etc/gshadow /var/lib/dpkg/status /root/"
    edits = {
        # As apt would leave it; the lists of packages are not fetched for this.
        "package removed": (ping, "dpkg --force-depends --force-remove-essential -r iputils-ping >/dev/null 2>&1"),
        "package downgraded": (ping, f"sed -i '/^Package: iputils-ping$/,/^$/s/^Version: .*/Version: 1:1-1/' {status}"),
        "user's shell": (user, "sed -i '/^vfy:/s,[^:]*$,/bin/sh,' /etc/passwd"),
        "user's home": (user, "sed -i '/^vfy:/s,/var/lib/vfy,/root,' /etc/passwd"),
        "membership": (user, "sed -i '/^vfyextra:/s/vfy$//' /etc/group"),
        "group removed": (group, "sed -i /^vfyextra:/d /etc/group /etc/gshadow"),
    }
    harms = []
    for name, (item, do) in edits.items():
        undo = "cp -p /root/passwd /root/group /root/gshadow /etc/; cp -p /root/status /var/lib/dpkg/status"
        if name == "package removed":
            keep_files = (
                "tar -cPf /root/ping.tar $(dpkg -L iputils-ping | while read -r f; do test -d $f || echo $f; done)"
            )
            do, undo = (
                f"{keep_files}; tar -rPf /root/ping.tar /var/lib/dpkg/info/iputils-ping.*; {do}",
                f"tar -xPf /root/ping.tar; {undo}",
            )
        items = {item, user} if name == "group removed" else {item}
        harms.append(Harm(name, f"{keep}; {do}", undo, frozenset(items), "accounts and packages"))
    hide, show = "cp -p /etc/hosts /root/hosts; sed -i 's/\\bbox\\b/bax/' /etc/hosts", "cp -p /root/hosts /etc/hosts"
    harms.append(Harm("name of a host", hide, show, frozenset({"check names"}), "/etc/hosts"))
    told = frozenset({"host_name vfy-peer"})
    for name, edit in {
        "name of a role's gone": "sed -i /vfy-peer/d /etc/hosts",
        "name of a role's with another address": "sed -i '/vfy-peer/s/^[0-9.]*/192.0.2.8/' /etc/hosts",
        "name of a role's with a further address": "echo 192.0.2.8 vfy-peer >> /etc/hosts",
    }.items():
        harms.append(Harm(name, f"cp -p /etc/hosts /root/hosts; {edit}", show, told, "/etc/hosts"))
    key = "net.ipv4.tcp_keepalive_time"
    path = "/proc/sys/net/ipv4/tcp_keepalive_time"
    harms.append(Harm("sysctl", f"echo 7000 > {path}", f"echo 7100 > {path}", frozenset({f"sysctl {key}"}), key))
    return harms


def of_units() -> list[Harm]:
    """What can be done to a unit without another run of its process."""
    web, folder = "vfy-web.service", "/etc/systemd/system"
    told = frozenset({f"unit {web}"})
    pid = f"$(systemctl show -P MainPID {web})"
    drop = f"mkdir -p {folder}/{web}.d; printf '[Service]\\nNice=1\\n' > {folder}/{web}.d/x.conf"
    undrop = f"rm -r {folder}/{web}.d; systemctl daemon-reload"
    run_drop = drop.replace("/etc/", "/run/")
    every = f"mkdir -p {folder}/service.d; printf '[Service]\\nNice=1\\n' > {folder}/service.d/x.conf"
    mask = f"cp -p {folder}/{web} /root/unit; ln -sf /dev/null {folder}/{web}; systemctl daemon-reload"
    unmask = f"cp -p --remove-destination /root/unit {folder}/{web}; systemctl daemon-reload"
    all_units = frozenset(f"unit {name}" for name in UNITS)
    both = frozenset({f"unit {web}", f"file {folder}/{web}"})
    return [
        Harm("disabled", f"systemctl -q disable {web}", f"systemctl -q enable {web}", told, web),
        Harm("drop-in, loaded", f"{drop}; systemctl daemon-reload", undrop, told, web),
        Harm("drop-in, not loaded", drop, undrop, told, web),
        Harm("drop-in in /run", f"{run_drop}; systemctl daemon-reload", undrop.replace("/etc/", "/run/"), told, web),
        Harm("drop-in of every service", f"{every}; systemctl daemon-reload",
             f"rm -r {folder}/service.d; systemctl daemon-reload", all_units, web),
        Harm("masked", mask, unmask, both, web),
        Harm("process stopped", f"kill -STOP {pid}", f"kill -CONT {pid}", told | {"check site"}, web),
        Harm("another enabled", "ln -s ../vfy-off.service /etc/systemd/system/multi-user.target.wants/ 2>/dev/null;"
             " printf '[Install]\\nWantedBy=multi-user.target\\n' >> /etc/systemd/system/vfy-off.service;"
             " systemctl daemon-reload",
             "sed -i '/Install/,$d' /etc/systemd/system/vfy-off.service;"
             " rm /etc/systemd/system/multi-user.target.wants/vfy-off.service; systemctl daemon-reload",
             frozenset({"unit vfy-off.service", "file /etc/systemd/system/vfy-off.service"}), "vfy-off.service"),
    ]  # fmt: skip


def every_harm() -> list[Harm]:
    """All of them."""
    return of_files() + of_folders() + of_system() + of_units()
