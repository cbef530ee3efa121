# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a lab again from the record of a run, and says in what it came out different.

A record holds names and digests and may be shown to anybody. The bytes of the lab's own files (lab.yml, group_vars,
host_vars) may hold secrets, so they lie beside the lab's secrets, and are found by their keyed digests.
"""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.labctl.stacks.plugins.module_utils.errors import Finding, InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab, load_lab
from ansible_collections.labctl.stacks.plugins.module_utils.paths import make_dir

from labctl.lab import backend, digest
from labctl.lab.locate import LAB_FILE, write_new
from labctl.lab.runs import input_files, inputs_folder


def check_same(lab: Lab, record: dict[str, Any]) -> list[Finding]:
    """What this labctl would not do as that run did: parts of the collection, versions of artefacts, tools.

    Tools are told apart by ``where`` being ``tool``.
    """
    inputs = record.get("inputs", {})
    found = []
    now = digest.collection()
    before = inputs.get("collection", {})
    for part in sorted({*before, *now}):
        if before.get(part) != now.get(part):
            found.append(Finding("collection", f"{part} is not what it was"))
    for name, was in record.get("artifacts", {}).items():
        state = backend.artifact_state(lab, name)
        if state.version != was["version"]:
            found.append(Finding("artefact", f"{name} was {was['version']}, the catalogue now has {state.version}"))
        elif was["digest"] and state.digest and state.digest != was["digest"]:
            found.append(Finding("artefact", f"{name} {was['version']} has other bytes: {state.digest[:12]}"))
    tools = digest.tools()
    for name, version in inputs.get("tools", {}).items():
        if tools.get(name) != version:
            found.append(Finding("tool", f"{name} was {version}, is {tools.get(name, 'absent')}"))
    return found


def refuse_different(record: dict[str, Any], differences: list[Finding], *, allow: bool) -> None:
    """PreflightError naming what would not be the same, unless that is allowed; versions of tools never hold it up."""
    real = tuple(one for one in differences if one.where != "tool")
    if real and not allow:
        raise PreflightError(
            f"run {record['id']} cannot be replayed as it was",
            hint=f"use the labctl it was made with ({record['versions'].get('labctl')}), or add --allow-different",
            findings=real,
        )


def restore(lab: Lab, record: dict[str, Any], folder: Path, provider: str | None) -> Lab:
    """Write the lab files of a run into a new folder, under a new name; the lab there. InputError where that cannot be.

    The name is the folder's: two labs of one name cannot stand side by side on a machine.
    """
    kind = provider or str(record["resolved"]["provider"]["type"])
    if kind == "static":
        raise InputError(
            "hosts of provider static cannot be made again: they are there once", hint="--provider nspawn, for example"
        )
    files = _files(lab, record)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already", hint="choose another folder with --into")
    spec = str(record["resolved"]["file"])
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:31].rstrip("-")
    make_dir(folder)
    for path, content in files.items():
        if path == spec:
            write_new(
                folder / LAB_FILE, renamed(content.decode(), name if name[:1].isalpha() else f"lab-{name}"[:31], kind)
            )
        elif path != f"{record['resolved']['provider']['type']}.yml":
            make_dir((folder / path).parent, 0o700)
            write_new(folder / path, content.decode(errors="surrogateescape"))
    _lock(record, folder)
    return load_lab(folder / LAB_FILE)


def _lock(record: dict[str, Any], folder: Path) -> None:
    """Have the new lab keep to the artefacts that the run resolved to, also those it was the first to resolve."""
    from ansible_collections.labctl.stacks.plugins.module_utils.lablock import LabLock

    known = {name: one for name, one in record.get("artifacts", {}).items() if one["digest"]}
    rows = [(name, one["version"], platform.machine(), one["digest"]) for name, one in known.items()]
    lock = LabLock(folder)
    if missing := [row for row in rows if row[0] not in lock.read()]:
        lock.record(missing)


def _files(lab: Lab, record: dict[str, Any]) -> dict[str, bytes]:
    """The files a run read, from what was kept of them, else from the lab itself if they are still the same."""
    key, folder, now = digest.lab_key(lab), inputs_folder(lab), input_files(lab)
    found, missing = {}, []
    for path, wanted in record.get("inputs", {}).get("files", {}).items():
        for content in (digest.read(folder / wanted), now.get(path, b"")):
            if digest.keyed(key, content) == wanted:
                found[path] = content
                break
        else:
            missing.append(Finding(path, "is no longer what it was, and was not kept"))
    if not record.get("resolved") or not found or missing:
        raise InputError(
            f"run {record['id']} cannot be replayed: it does not say on what it ran"
            if not missing
            else f"run {record['id']} cannot be replayed",
            hint="labctl runs list shows others",
            findings=tuple(missing),
        )
    return found


def renamed(text: str, name: str, provider: str) -> str:
    """A lab file's text with another name and provider type; everything else as it stands, comments too."""
    data = yaml.safe_load(text)
    old = data["provider"]
    kind = old["type"] if isinstance(old, dict) else old
    lines, count = re.subn(r"(?m)^name:.*$", f"name: {name}", text, count=1)
    if count and (kind == provider or not isinstance(old, dict)):
        if kind != provider:
            lines = re.sub(r"(?m)^provider:.*$", f"provider: {provider}", lines, count=1)
        if (again := yaml.safe_load(lines)) == data | {"name": name, "provider": again["provider"]}:
            return lines
    data |= {"name": name, "provider": old if kind == provider else provider}
    return yaml.safe_dump(data, sort_keys=False, width=110)


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What two runs left that is not the same, a line per thing, from their records of hosts."""
    found = []
    for host in sorted({*before, *after}):
        if host not in before or host not in after:
            found.append(f"{host}: known of {'that run' if host in before else 'this one'} only")
            continue
        was, now = before[host]["things"], after[host]["things"]
        for role in sorted({*was, *now}):
            things = {*was.get(role, {}), *now.get(role, {})}
            for thing in sorted(things):
                one, other = was.get(role, {}).get(thing), now.get(role, {}).get(thing)
                if one != other:
                    word = "differs" if one and other else "is new" if other else "is missing"
                    found.append(f"{host}, {role}: {thing} {word}")
    return found
