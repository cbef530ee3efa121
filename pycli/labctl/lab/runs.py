# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run ran on and what it left, in a form that another lab can be compared with; and the records there are.

Labs differ where they must: in their id, in addresses, in when a unit was started, in their secrets. So manifests are
compared thing by thing, without what says when or how a thing came to be, and with a placeholder for each address,
for the lab's id and for digests of other files. Contents of files are compared likewise, except secret ones: of those,
owner, group and mode are.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils import labmemory
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.labschema import did_you_mean
from ansible_collections.labctl.stacks.plugins.module_utils.paths import chown_to_caller, make_dir
from ansible_collections.labctl.stacks.plugins.module_utils.stacks import STACKS

from labctl.lab import backend, digest
from labctl.lab.parallel import together
from labctl.lab.records import Run, read_json

#: Of a record in a manifest: how it came to be, and digests of content, which is compared itself.
_PASSING = {"before", "implied", "invocation", "pending", "pulled", "reads", "started"} | {
    "fragment_sha256",
    "hmac_sha256",
    "sha256",
}
_DIGEST = re.compile(rb"\b[0-9a-f]{64}\b")
_MANIFESTS = "cat /var/lib/labctl/manifest.d/*.json 2>/dev/null || true"
_TIMEOUT, _PARALLEL = 20.0, 64


def note_inputs(lab: Lab, run: Run) -> None:
    """Put on record what a run runs on; the bytes of the lab's own files go where its secrets are."""
    names = dict.fromkeys(artifact for stack in lab.stacks for artifact in STACKS[stack].artifacts)
    states = [backend.artifact_state(lab, name) for name in names]
    run.note(
        resolved=resolved(lab),
        inputs={"collection": digest.collection(), "tools": digest.tools(), "files": _keep_files(lab)},
        artifacts={state.name: {"version": state.version, "digest": state.digest} for state in states},
    )


def resolved(lab: Lab) -> dict[str, Any]:
    """The lab as its file came to be understood; of variables only the names, as values may be secret."""
    hosts = [
        {
            "name": host.name,
            "groups": list(host.groups),
            "memory": host.memory,
            "cpus": host.cpus,
            "address": host.address,
            "vars": sorted(host.vars),
        }
        for host in lab.hosts
    ]
    provider = {"type": lab.provider.type, "image": lab.provider.image, "subnet": lab.provider.subnet}
    return {
        "name": lab.name,
        "provider": provider,
        "hosts": hosts,
        "stacks": list(lab.stacks),
        "vars": sorted(lab.vars),
        "lease": lab.lease,
        "file": lab.spec.name,
    }


def input_files(lab: Lab) -> dict[str, bytes]:
    """Everything of the user's that a run reads, by its path beside the lab file."""
    found = {
        path.name: digest.read(path)
        for path in (lab.spec, lab.inventory, lab.spec.parent / "site.yml", lab.spec.parent / digest.LOCK)
        if path.exists()
    }
    for folder in ("group_vars", "host_vars", "artifacts"):
        below = digest.contents(lab.spec.parent / folder)
        found |= {f"{folder}/{name}": content for name, content in below.items() if name}
    return found


def inputs_folder(lab: Lab) -> Path:
    """Where the bytes of what runs ran on are kept, by their keyed digests."""
    return lab.lab_dir / "secrets" / digest.INPUTS


def _keep_files(lab: Lab) -> dict[str, str]:
    """Keep the lab's files, drop those that no record names any more; path to digest."""
    key, folder = digest.lab_key(lab), inputs_folder(lab)
    make_dir(folder.parent, 0o700)
    make_dir(folder, 0o700)
    kept = {}
    for name, content in input_files(lab).items():
        kept[name] = digest.keyed(key, content)
        path = folder / kept[name]
        if not path.exists():
            draft = folder / f".{kept[name]}"
            draft.touch(mode=0o600)
            draft.write_bytes(content)
            chown_to_caller(draft)
            draft.replace(path)
    named = {one for run in listing(lab) for one in run.get("inputs", {}).get("files", {}).values()}
    for path in folder.iterdir():
        if path.name not in named and path.name not in kept.values() and path.name != labmemory.NAME:
            path.unlink()
    return kept


def listing(lab: Lab) -> list[dict[str, Any]]:
    """The records of all runs, oldest first."""
    paths = sorted((lab.lab_dir / "runs").glob("*/run.json"))
    return [record for record in map(read_json, paths) if record.get("id")]


def load(lab: Lab, name: str) -> dict[str, Any]:
    """The record of a run, by its id, the beginning of one, or ``last``; InputError where that is none, or several."""
    records = {str(record["id"]): record for record in listing(lab)}
    if name == "last" and records:
        return records[max(records)]
    found = [run for run in records if run == name] or [run for run in records if name and run.startswith(name)]
    if len(found) == 1:
        return records[found[0]]
    if found:
        raise InputError(f"several runs begin with {name}: {', '.join(found[:4])}", hint="give more of the id")
    hint = did_you_mean(name, records) if records else "labctl up makes one"
    raise InputError(f"lab {lab.name} has no run {name!r}", hint=hint)


def left(lab: Lab, hosts: Iterable[str]) -> dict[str, Any]:
    """What is on these hosts: host -> ``manifests`` (role to sha256) and ``things`` (role to thing to digest).

    A host that gives no answer is left out.
    """
    answers = {host.name: host for host in backend.provider_for(lab).hosts()}
    places = _places(lab, answers)
    steps: dict[str, Callable[[], Any]] = {host: partial(_things, lab, host, places) for host in hosts}
    found, _, _ = together(steps, _PARALLEL)
    return {
        host: {"manifests": backend.kept_digests(lab, host), "things": things}
        for host, things in found.items()
        if things
    }


def _places(lab: Lab, answers: Mapping[str, Any]) -> list[tuple[re.Pattern[bytes], bytes]]:
    """What is this lab's alone, and what to put in its place."""
    words = {lab.lab_id(): "lab id"}
    for name, host in answers.items():
        words |= {host.address: f"address of {name}"}
        words |= {str(address): "controller" for address in host.variables.get("lab_controller_addresses", [])}
    return [
        (re.compile(rb"(?<![\w.])" + re.escape(word.encode()) + rb"(?![\w.]*\w)"), f"<{place}>".encode())
        for word, place in words.items()
        if word
    ]


def _things(lab: Lab, host: str, places: list[tuple[re.Pattern[bytes], bytes]]) -> dict[str, dict[str, str]]:
    roles = {str(document["role"]): document["sections"] for document in _manifests(lab, host)}
    records = [
        (role, kind, record)
        for role, sections in roles.items()
        for section in sections.values()
        for kind, listed in section.items()
        for record in listed
    ]
    # Where a text holds another file's digest, as that file's readers do to be restarted with it, the file is meant.
    own = {record["sha256"].encode(): str(record["path"]) for _, _, record in records if "sha256" in record}

    def plain(content: bytes) -> str:
        content = _DIGEST.sub(lambda match: f"<{own[match[0]]}>".encode() if match[0] in own else match[0], content)
        for pattern, place in places:
            content = pattern.sub(place, content)
        return hashlib.sha256(content).hexdigest()[:32]

    files = backend.file_content(lab, host, [record["path"] for _, kind, record in records if kind == "files"])
    found: dict[str, dict[str, str]] = {}
    for role, kind, record in records:
        name = str(record.get("path") or record.get("name"))
        row = {key: value for key, value in record.items() if key not in _PASSING}
        if kind == "files" and name in files:
            row["content"] = plain(files[name])
        found.setdefault(role, {})[f"{kind.removesuffix('s')} {name}"] = plain(json.dumps(row, sort_keys=True).encode())
    return found


def _manifests(lab: Lab, host: str) -> list[dict[str, Any]]:
    argv = ["ssh", "-F", str(lab.lab_dir / "ssh" / "config"), "-oBatchMode=yes", "-T", "--", host, _MANIFESTS]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
