# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what system does: a role's packages, users, groups, kernel settings, folders and names.

It re-implements nothing: it writes sysusers.d, tmpfiles.d, sysctl.d and modules-load.d files, so that a reboot keeps
what was set, and calls systemd's own tools and the package manager for what differs.
Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.accounts import Accounts, sysusers_text
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Outcome
from ansible_collections.labctl.stacks.plugins.module_utils.folders import Folders
from ansible_collections.labctl.stacks.plugins.module_utils.host_names import HostNames
from ansible_collections.labctl.stacks.plugins.module_utils.kernel import Kernel
from ansible_collections.labctl.stacks.plugins.module_utils.managed_files import FileSpec, ManagedFiles
from ansible_collections.labctl.stacks.plugins.module_utils.packages import Apt, Packages

#: What of the options declares something; with all of it empty, converging undoes the section.
NOTHING: dict[str, Any] = {
    "packages": [],
    "groups": [],
    "users": [],
    "directories": [],
    "sysctls": {},
    "kernel_modules": [],
    "host_names": {},
}


def conf_path(kind: str, call: Call) -> str:
    """The section's file among systemd's, such as /etc/sysusers.d/labctl-hdfs-main.conf."""
    return f"/etc/{kind}.d/labctl-{call.manifest.role}-{call.key.split('/')[1]}.conf"


def converge(call: Call, declared: dict[str, Any], purge_data: bool, apt: Apt) -> Outcome:
    """Make exactly what is declared the section's."""
    packages = Packages(call, declared["packages"], apt)
    folders = Folders(call, declared["directories"], purge_data)
    changes = packages.plan()
    folder_changes = folders.plan()
    accounts = Accounts(call, declared["groups"], declared["users"], folders.held)
    changes += accounts.plan()
    kernel = Kernel(call, declared["sysctls"], declared["kernel_modules"])
    names = HostNames(call, declared["host_names"])
    changes += kernel.plan() + names.plan() + folder_changes
    header = f"# Managed by labctl (role {call.manifest.role}); changes are overwritten."
    texts = {
        "sysusers": sysusers_text(header, accounts.groups, accounts.users),
        "modules-load": kernel.modules_text(header),
        "sysctl": kernel.sysctl_text(header),
        "tmpfiles": folders.text(header),
    }
    confs = {kind: conf_path(kind, call) for kind in texts}
    files = ManagedFiles(call, [FileSpec(confs[kind], text.encode()) for kind, text in texts.items() if text])
    changes += files.plan()
    outcome = Outcome(changes=changes, diff=files.diff() + names.diff())
    outcome.values = {
        "packages_installed": sorted(packages.missing),
        "packages_removed": sorted(packages.gone),
        "kept": sorted(record["path"] for record in folders.kept if record.get("data")),
    }
    if call.check:
        return outcome

    def intend() -> None:
        call.record(
            {
                "files": files.intent(),
                "packages": packages.intent(),
                "directories": folders.intent(),
                "host_names": names.intent(),
                **accounts.intent(),
                **kernel.intent(),
            }
        )

    for kind in texts:
        Path(f"/etc/{kind}.d").mkdir(mode=0o755, exist_ok=True)
    files.apply(intend)
    packages.install()
    accounts.apply(confs["sysusers"])
    kernel.apply(confs["sysctl"])
    names.apply()
    folders.apply(confs["tmpfiles"])
    folders.remove()
    accounts.remove()
    outcome.warnings += packages.remove()
    outcome.values["packages_removed"] = sorted(set(packages.gone) - set(packages.kept))
    call.record(
        {
            "files": files.records(),
            "packages": packages.records(),
            "directories": folders.records(),
            "host_names": names.records(),
            **accounts.records(),
            **kernel.records(),
        }
    )
    return outcome


def present(call: Call) -> Outcome:
    """``state=present`` of system."""
    return converge(call, call.params, call.params["purge_data"], Apt())


def absent(call: Call) -> Outcome:
    """``state=absent``: what was our doing goes, data only with ``purge_data``."""
    return converge(call, NOTHING, call.params["purge_data"], Apt())
