# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: Debian packages of a section: installed when missing, removed when they were our doing.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Change, command
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import ABSENT

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?")
_REMOVED = re.compile(r"^(?:Remv|Purg) (\S+)", re.MULTILINE)


def distribution(release: str) -> tuple[str, set[str]]:
    """A distribution's name for people, and its ids with those of its ancestors, from os-release(5)."""
    values = dict(line.split("=", 1) for line in release.splitlines() if "=" in line)
    plain = {key: value.strip("\"'") for key, value in values.items()}
    name = plain.get("PRETTY_NAME") or plain.get("NAME") or "an unknown distribution"
    return name, {plain.get("ID", ""), *plain.get("ID_LIKE", "").split()}


class Apt:
    """The client of dpkg and apt-get."""

    def check_distribution(self) -> None:
        """PreflightError, naming the distribution, where apt is not its package manager."""
        name, ids = distribution(Path("/etc/os-release").read_text())
        if not ids & {"debian", "ubuntu"}:
            raise PreflightError(
                f"packages can be installed on Debian and Ubuntu only, and this host runs {name}",
                hint="use a Debian or Ubuntu host, or install the packages and leave out the option",
            )

    def installed(self, names: list[str]) -> dict[str, str]:
        """Versions of those of the named packages that are installed; of all packages for an empty list."""
        fields = "${db:Status-Status}\t${Package}\t${binary:Package}\t${Version}\n"
        versions = {}
        for line in command(["dpkg-query", "-W", "-f", fields, *names], check=False).splitlines():
            status, package, qualified, version = line.split("\t")
            if status == "installed":
                versions[package] = versions[qualified] = version
        return versions

    def older(self, version: str, than: str) -> bool:
        """Whether a version is older, by Debian's rules."""
        return subprocess.run(["dpkg", "--compare-versions", version, "lt", than], check=False).returncode == 0

    def install(self, wanted: list[str]) -> None:
        """Install packages ("name" or "name=version"); the lists are updated only if it does not work without."""
        try:
            self._get("install", "--no-install-recommends", *wanted)
        except ConvergeError:
            self._get("update")
            self._get("install", "--no-install-recommends", *wanted)

    def would_remove(self, verb: str, names: list[str]) -> set[str]:
        """What ``apt-get VERB`` would remove in all: dependents, or for autoremove what nobody needs any more."""
        return set(_REMOVED.findall(self._get("--simulate", verb, *names)))

    def purge(self, names: list[str]) -> None:
        """Remove packages with the configuration that came with them."""
        self._get("purge", *names)

    def _get(self, *words: str) -> str:
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        options = ["--force-confdef", "--force-confold"]
        # Another apt (a timer's, say) is waited for.
        settings = ["DPkg::Lock::Timeout=300", *(f"Dpkg::Options::={option}" for option in options)]
        return command(["apt-get", "-y", "-q", *(f"-o{setting}" for setting in settings), *words], timeout=1800)


class Packages:
    """Plan and apply the packages of one section."""

    def __init__(self, call: Call, names: list[str], apt: Apt) -> None:
        self.call = call
        self.names = sorted(set(names))
        self.apt = apt
        self.missing: list[str] = []
        self.gone: list[str] = []
        self.kept: list[str] = []
        self._old = call.manifest.records(call.key, "packages")
        self._before: dict[str, str] = {}
        self._versions: dict[str, str] = {}
        self._pulled: dict[str, list[str]] = {}

    def plan(self) -> list[Change]:
        """Compare with dpkg's database; nothing is asked where nothing is declared."""
        for name in self.names:
            if not _NAME.fullmatch(name):
                raise InputError(f"{name!r} is not a package's name", hint="give the name alone, as apt-cache shows it")
        leaving = {name: record for name, record in self._old.items() if name not in self.names}
        ours = [
            name
            for name, record in leaving.items()
            if record.get("before") == ABSENT and not self.call.manifest.owners("packages", name, self.call.key)
        ]
        if not self.names and not ours:
            return []
        self.apt.check_distribution()
        self._versions = self.apt.installed([*self.names, *ours])
        self.gone = [name for name in ours if name in self._versions]
        changes = [change for name in self.names for change in self._plan_package(name)]
        return changes + [Change(f"package {name}", self._versions[name], "removed") for name in self.gone]

    def _plan_package(self, name: str) -> list[Change]:
        owners = self.call.manifest.owners("packages", name, self.call.key)
        records = ([self._old[name]] if name in self._old else []) + [owner.record for owner in owners]
        self._pulled[name] = next((record["pulled"] for record in records if record.get("pulled")), [])
        version = self._versions.get(name)
        observed = "installed" if version else ABSENT
        self._before[name] = self.call.manifest.before(self.call.key, "packages", name, observed)
        recorded = self._old.get(name, {}).get("version")
        if version is None:
            self.missing.append(name)
            return [Change(f"package {name}", ABSENT, "installed")]
        if recorded and recorded != version and self.apt.older(version, recorded):
            self.missing.append(f"{name}={recorded}")
            return [Change(f"package {name}", version, recorded)]
        return []

    def install(self) -> None:
        """Install what is missing, and note what else came with it."""
        if not self.missing:
            return
        before = set(self.apt.installed([]))
        self.apt.install(self.missing)
        everything = self.apt.installed([])
        came = sorted(name for name in set(everything) - before if ":" not in name and name not in self.names)
        self._versions = everything
        for name in self.names:
            if name not in everything:
                raise ConvergeError(
                    f"package {name} is still not installed", hint="name a real package, not one that others provide"
                )
            if name in self.missing:
                self._pulled[name] = sorted({*self._pulled[name], *came})

    def remove(self) -> list[str]:
        """Purge what only we wanted, then what came with it and nobody needs; returns warnings for what must stay."""
        warnings = []
        everyone = self.call.manifest.identities("packages", self.call.key) | set(self.names)
        pulled = {name for gone in self.gone for name in self._old[gone].get("pulled", [])} - everyone
        going = []
        for name in self.gone:
            others = self.apt.would_remove("purge", [name]) - {name} - set(self.gone) - pulled
            if others:
                self.kept.append(name)
                warnings.append(f"package {name} stays, as {', '.join(sorted(others))} need it")
            else:
                going.append(name)
        if going:
            self.apt.purge(going)
            rest = sorted(self.apt.would_remove("autoremove", []) & pulled)
            if rest:
                self.apt.purge(rest)
        return warnings

    def records(self) -> list[dict[str, Any]]:
        """The section's records, once applied."""
        return [
            {
                "name": name,
                "version": self._versions.get(name, ""),
                "before": self._before[name],
                "pulled": self._pulled[name],
            }
            for name in self.names
        ]

    def intent(self) -> list[dict[str, Any]]:
        """What to write down before acting."""
        return self.records() + [record for name, record in self._old.items() if name not in self.names]
