# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: users and groups of a section, made by systemd-sysusers, mended by usermod.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import grp
import pwd
import re
from contextlib import suppress
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Change, command
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.fileops import group_name
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import ABSENT

#: A user's fields that are compared and mended, with usermod's option for each.
FIELDS = {"group": "--gid", "home": "--home", "shell": "--shell", "comment": "--comment"}
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_FIELD = re.compile(r"[^:\"\\\x00-\x1f]*")


def live_group(name: str) -> bool:
    """Whether the host has the group."""
    with suppress(KeyError):
        return bool(grp.getgrnam(name))
    return False


def live_user(name: str) -> dict[str, Any] | None:
    """A user as the host has it, in the shape of the option; None where there is none."""
    with suppress(KeyError):
        entry = pwd.getpwnam(name)
        groups = sorted(group.gr_name for group in grp.getgrall() if name in group.gr_mem)
        return {
            "name": name,
            "group": group_name(entry.pw_gid),
            "groups": groups,
            "home": entry.pw_dir,
            "shell": entry.pw_shell,
            "comment": entry.pw_gecos,
        }
    return None


def sysusers_text(header: str, groups: list[str], users: list[dict[str, Any]]) -> str:
    """A sysusers.d(5) file for these groups and users, "" for none."""
    lines = [f"g {name} -" for name in groups]
    for user in users:
        home, shell = (user[field] or "-" for field in ("home", "shell"))
        comment = (user["comment"] or user["name"]).replace("%", "%%")
        lines.append(f'u {user["name"]} -:{user["group"]} "{comment}" {home} {shell}')
        lines += [f"m {user['name']} {group}" for group in sorted(user["groups"])]
    return "\n".join([header, *lines, ""]) if lines else ""


class Accounts:
    """Plan and apply the users and groups of one section.

    A user's primary group, its own name unless given, and its further groups are groups of the section too.
    """

    def __init__(self, call: Call, groups: list[str], users: list[dict[str, Any]], held: set[str]) -> None:
        self.call = call
        self.users = [{**user, "group": user["group"] or user["name"]} for user in users]
        every = {*groups, *(user["group"] for user in self.users), *(g for user in self.users for g in user["groups"])}
        self.groups = sorted(every)
        #: Names that own data which stays: their users and groups stay too, or another could get the number.
        self.held = held
        self.create = False
        self._mends: list[list[str]] = []
        self._gone_users: list[dict[str, Any]] = []
        self._gone_groups: list[dict[str, Any]] = []
        self._old_users = call.manifest.records(call.key, "users")
        self._old_groups = call.manifest.records(call.key, "groups")
        self._before: dict[tuple[str, str], Any] = {}

    def plan(self) -> list[Change]:
        """Compare with the host's users and groups."""
        self._check()
        changes = []
        for name in self.groups:
            observed = "present" if live_group(name) else ABSENT
            self._before["groups", name] = self.call.manifest.before(self.call.key, "groups", name, observed)
            if observed == ABSENT:
                self.create = True
                changes.append(Change(f"group {name}", ABSENT, "present"))
        for user in self.users:
            changes += self._plan_user(user)
        return changes + self._plan_removal()

    def _check(self) -> None:
        names = [user["name"] for user in self.users]
        for name in [*names, *self.groups]:
            if not _NAME.fullmatch(name) or names.count(name) > 1:
                raise InputError(f"{name!r} is not a user's or group's name, or is there twice", hint="mend the name")
        for user in self.users:
            for field in ("home", "shell", "comment"):
                if not _FIELD.fullmatch(user[field] or ""):
                    raise InputError(f"user {user['name']}: {field} is not plain text", hint="leave out : and quotes")

    def _plan_user(self, user: dict[str, Any]) -> list[Change]:
        name, live = user["name"], live_user(user["name"])
        was = {field: live[field] for field in FIELDS} if live else ABSENT
        self._before["users", name] = self.call.manifest.before(self.call.key, "users", name, was)
        if live is None:
            self.create = True
            return [Change(f"user {name}", ABSENT, "present")]
        changes, options = [], []
        for field, option in FIELDS.items():
            if user[field] and user[field] != live[field]:
                options += [option, user[field]]
                changes.append(Change(f"user {name}, {field}", live[field], user[field]))
        further = sorted(set(user["groups"]) - set(live["groups"]) - {live["group"]})
        if further:
            options += ["--append", "--groups", ",".join(further)]
            changes.append(Change(f"user {name}, further groups", ",".join(live["groups"]), f"+{',+'.join(further)}"))
        if options:
            self._mends.append(["usermod", *options, name])
        dropped = set(self._old_users.get(name, {}).get("groups", [])) - set(user["groups"])
        for group in sorted(dropped & set(live["groups"])):
            self._mends.append(["gpasswd", "--delete", name, group])
            changes.append(Change(f"user {name}, group {group}", "member", "no member"))
        return changes

    def _plan_removal(self) -> list[Change]:
        changes = []
        declared = {user["name"] for user in self.users}
        for name, record in self._old_users.items():
            live, before = live_user(name), record.get("before", ABSENT)
            others = self.call.manifest.owners("users", name, self.call.key)
            if name in declared | self.held or others or live is None:
                continue
            self._gone_users.append(record)
            if before == ABSENT:
                changes.append(Change(f"user {name}", "present", "removed"))
            elif any(live[field] != before[field] for field in FIELDS):
                changes.append(Change(f"user {name}", "changed", "as it was before labctl"))
        for name, record in self._old_groups.items():
            others = self.call.manifest.owners("groups", name, self.call.key)
            ours = record.get("before", ABSENT) == ABSENT
            if ours and name not in {*self.groups, *self.held} and not others and live_group(name):
                self._gone_groups.append(record)
                changes.append(Change(f"group {name}", "present", "removed"))
        return changes

    def apply(self, conf: str) -> None:
        """Make what is missing from the sysusers.d file, mend the rest."""
        if self.create:
            command(["systemd-sysusers", conf])
        for argv in self._mends:
            command(argv)

    def remove(self) -> None:
        """Remove users and groups that were our doing; give the others back what they were."""
        for record in self._gone_users:
            name, before = record["name"], record.get("before", ABSENT)
            live = live_user(name)
            if before == ABSENT:
                command(["userdel", name], what=f"user {name} cannot be removed")
            elif live:
                options = [
                    word
                    for field, option in FIELDS.items()
                    if live[field] != before[field]
                    for word in (option, before[field])
                ]
                if options:
                    command(["usermod", *options, name])
                for group in set(record.get("groups", [])) & set(live["groups"]):
                    command(["gpasswd", "--delete", name, group])
        for record in self._gone_groups:
            # userdel may have taken the user's own group along.
            if live_group(record["name"]):
                command(["groupdel", record["name"]], what=f"group {record['name']} cannot be removed")

    def records(self) -> dict[str, list[dict[str, Any]]]:
        """The section's records, once applied; with the users and groups that stay for the sake of data."""
        users = [
            {
                **{key: value for key, value in user.items() if value},
                "before": self._before["users", user["name"]],
            }
            for user in self.users
        ]
        groups = [{"name": name, "before": self._before["groups", name]} for name in self.groups]
        names = {user["name"] for user in users}
        users += [record for name, record in self._old_users.items() if name in self.held - names]
        groups += [record for name, record in self._old_groups.items() if name in self.held - set(self.groups)]
        return {"users": users, "groups": groups}

    def intent(self) -> dict[str, list[dict[str, Any]]]:
        """What to write down before acting."""
        intended = self.records()
        for kind, old in (("users", self._old_users), ("groups", self._old_groups)):
            known = {record["name"] for record in intended[kind]}
            intended[kind] += [record for name, record in old.items() if name not in known]
        return intended
