# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the lab model, read from lab.yml by modules, inventory plugins and the command alike.

``load_lab`` either returns a lab in which everything fits, or raises one InputError with every finding: file,
line, key, what was expected and the nearest valid word. It imports nothing of Ansible and touches nothing.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import labmemory
from .errors import InputError, PreflightError
from .paths import chown_to_caller, make_dir
from .stacks import STACKS, in_order, known_groups

if TYPE_CHECKING:
    from .labfile import Document
    from .labschema import LabModel

#: Groups a stack can do without; it needs a host in each of its others.
OPTIONAL_GROUPS = {"hadoop_client", "k8s_node", "nfs_client"}
#: Groups whose daemon exists once; a second host would be a second, rival cluster.
SINGLE_GROUPS = {"hdfs_namenode", "yarn_resourcemanager", "mapred_historyserver", "nfs_server"}
#: Groups that agree by majority: with an even number they survive no more failures than with one fewer.
ODD_GROUPS = {"k8s_master"}
MAX_HOSTS = 1000


@dataclass(frozen=True)
class ProviderSpec:
    """Who makes the hosts, and from what."""

    type: str
    image: str = "debian-13"
    subnet: str | None = None


@dataclass(frozen=True)
class HostSpec:
    """One host. ``memory`` in bytes, ``cpus`` in cores (may be a fraction); None is no limit."""

    name: str
    groups: tuple[str, ...] = ()
    memory: int | None = None
    cpus: float | None = None
    address: str | None = None
    vars: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Lab:
    """A set of hosts plus the stacks on them. Paths are absolute; ``stacks`` stand in the order they are run in."""

    name: str
    provider: ProviderSpec
    hosts: tuple[HostSpec, ...]
    stacks: tuple[str, ...]
    vars: dict[str, Any]
    lease: str | None
    spec: Path
    lab_dir: Path

    @property
    def inventory(self) -> Path:
        """The inventory file, which stands beside lab.yml and bears the provider's name."""
        return self.spec.parent / f"{self.provider.type}.yml"

    def groups(self) -> dict[str, list[str]]:
        """Each group that has hosts, with their names in the order of the lab file."""
        result: dict[str, list[str]] = {}
        for host in self.hosts:
            for group in host.groups:
                result.setdefault(group, []).append(host.name)
        return result

    def lab_id(self, create: bool = False) -> str:
        """The lab's random id, 16 hex digits kept in the lab folder; empty where there is none and ``create`` is off.

        InputError where the file holds something else: hosts that bear the real id could not be told from others'.
        """
        path = self.lab_dir / "id"
        if text := _read_id(path):
            return text
        if not create:
            return ""
        make_dir(self.lab_dir)
        # Written aside and linked, so that no one ever reads half an id and the first of two writers wins.
        draft = self.lab_dir / f".id.{os.getpid()}"
        draft.unlink(missing_ok=True)
        draft.write_text(f"{secrets.token_hex(8)}\n", encoding="ascii")
        try:
            os.link(draft, path)
            chown_to_caller(path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        return _read_id(path)


def _read_id(path: Path) -> str:
    if path.is_symlink():
        raise InputError(f"{path} is a link", hint="put the file itself there")
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{path} cannot be read: {exc}") from exc
    if not re.fullmatch(r"[0-9a-f]{16}", text):
        raise InputError(
            f"{path} does not hold a lab's id (16 hex digits)",
            hint="put back the id its hosts bear; if the lab has no hosts any more, remove the file",
        )
    return text


def default_lab_dir(spec: Path) -> Path:
    """``.labctl`` beside the lab file, or its own folder where the lab file stands in ``.labctl`` itself."""
    return spec.parent if spec.parent.name == ".labctl" else spec.parent / ".labctl"


def load_lab(spec: Path, lab_dir: Path | None = None) -> Lab:
    """Read and validate a lab file; InputError with every finding at once, PreflightError without pydantic.

    A lab that was up keeps what its file came to, and the same bytes are not validated again.
    """
    # The folder is resolved, the file's own name is kept: a lab lies where its lab.yml is seen.
    linked = default_lab_dir(spec).is_symlink() if lab_dir is None else lab_dir.is_symlink()
    spec = spec.parent.resolve() / spec.name
    folder = lab_dir.resolve() if lab_dir is not None else default_lab_dir(spec)
    key = "" if linked else labmemory.key_of(spec)
    try:
        return _lab(labmemory.recall(folder, key), spec, folder)
    except (KeyError, TypeError):  # nothing is kept, or nothing that makes sense
        outcome = _validated(spec, folder.name if linked else "")
        labmemory.remember(folder, key, outcome)
        return _lab(outcome, spec, folder)


def _lab(outcome: dict[str, Any], spec: Path, folder: Path) -> Lab:
    hosts = tuple(HostSpec(**{**host, "groups": tuple(host["groups"])}) for host in outcome["hosts"])
    return Lab(
        name=outcome["name"],
        provider=ProviderSpec(**outcome["provider"]),
        hosts=hosts,
        stacks=tuple(outcome["stacks"]),
        vars=outcome["vars"],
        lease=outcome["lease"],
        spec=spec,
        lab_dir=folder,
    )


def _validated(spec: Path, linked: str) -> dict[str, Any]:
    """What a lab file comes to, as plain data. ``linked`` names the lab folder where that is a link."""
    try:
        from . import labschema
        from .labfile import read_document
    except ImportError as exc:
        missing = (exc.name or "").split(".")[0]
        if missing not in ("pydantic", "pydantic_core", "yaml"):
            raise
        package = {"yaml": "PyYAML"}.get(missing, "pydantic")
        raise PreflightError(
            f"reading a lab file needs the Python package {package} on this machine",
            hint=f"pip install {package}, in the environment that Ansible runs in",
        ) from exc

    document = read_document(spec)
    model = labschema.validate(document.data, document)
    hosts = _check_together(document, model)
    if linked:
        document.add((), f"the lab folder {linked} is a link", "make it a folder")
    if document.findings or model is None:
        count = len(document.findings)
        raise InputError(
            f"{document.name} is not a valid lab file: {count} error{'s' if count != 1 else ''}",
            findings=tuple(sorted(document.findings, key=_by_line)),
        )
    return {
        "name": model.name,
        "provider": asdict(ProviderSpec(model.provider.type, model.provider.image, model.provider.subnet)),
        "hosts": [{**asdict(host), "groups": list(host.groups)} for host in hosts],
        "stacks": list(in_order(tuple(model.stacks))),
        "vars": dict(model.vars),
        "lease": model.lease,
    }


def _by_line(finding: Any) -> int:
    match = re.search(r":(\d+)", finding.where)
    return int(match[1]) if match else 0


def _check_together(document: Document, model: LabModel | None) -> tuple[HostSpec, ...]:
    """What no field can say of itself. Runs on the raw data, so that it reports beside errors of single fields."""
    data = document.data if isinstance(document.data, dict) else {}
    raw = data.get("hosts")
    if isinstance(raw, dict):
        _check_hosts(document, raw)
        _check_groups(document, raw, data.get("stacks"))
        _check_provider(document, raw, data.get("provider"))
    if model is None:
        return ()
    return tuple(
        HostSpec(name, tuple(dict.fromkeys(h.groups)), h.memory, h.cpus, h.address, dict(h.vars))
        for key, h in model.hosts.items()
        for name in _expanded(key, h.count)
    )


def _expanded(name: str, count: object) -> list[str]:
    """``worker`` with a count of 2 is worker1 and worker2; with a count of 1 it is worker1, so that it can grow."""
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAX_HOSTS:
        return [name]
    return [f"{name}{number}" for number in range(1, count + 1)]


def _count(host: object) -> object:
    return host.get("count") if isinstance(host, dict) else None


def _check_hosts(document: Document, raw: dict[str, Any]) -> None:
    if not raw:
        document.add(("hosts",), "a lab needs at least one host", "for example hosts: {head: {}}")
    seen: dict[str, str] = {}
    for key, host in raw.items():
        names = _expanded(key, _count(host))
        for name in names:
            if name in seen:
                document.add(("hosts", key), f"host {name} is also made by hosts.{seen[name]}", "rename one of them")
                break
            seen[name] = key
        if len(names[-1]) > 31 and len(key) <= 31:
            document.add(("hosts", key), f"with its number, {names[-1]} has more than 31 characters", "shorten it")
    if len(seen) > MAX_HOSTS:
        document.add(("hosts",), f"{len(seen)} hosts are more than a lab can have, which is {MAX_HOSTS}")


def _check_groups(document: Document, raw: dict[str, Any], listed: object) -> None:
    from .labschema import nearest

    known = known_groups()
    stacks = [s for s in listed if isinstance(s, str)] if isinstance(listed, list) else []
    # A misspelt stack has its own finding; what it was meant to be is taken for granted here.
    meant = {s if s in STACKS else nearest(s, STACKS) for s in stacks} - {""}
    wanted = in_order(tuple(sorted(meant)))
    members: dict[str, list[str]] = {}
    unclear = False
    for key, host in raw.items():
        groups = host.get("groups", []) if isinstance(host, dict) else None
        if not isinstance(groups, list):
            unclear = True
            continue
        seen: set[str] = set()
        for index, group in enumerate(groups):
            if not isinstance(group, str):
                unclear = True
                continue
            if group in seen:
                document.add(("hosts", key, "groups", index), f"group {group} stands here twice", "keep one")
            seen.add(group)
            name = group if group in known else nearest(group, known)
            if not name:
                continue
            members.setdefault(name, []).extend(_expanded(key, _count(host)))
            if group in known and known[group] not in wanted:
                where = ("hosts", key, "groups", index)
                document.add(where, f"group {group} is of stack {known[group]}, which stacks does not list")
    for stack in wanted:
        for group, purpose in STACKS[stack].groups.items():
            names = members.get(group, [])
            if not names and not unclear and group not in OPTIONAL_GROUPS:
                document.add(("hosts",), f"stack {stack} needs a host in group {group}", f"it {purpose}")
            if len(names) > 1 and group in SINGLE_GROUPS:
                shown_names = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
                document.add(("hosts",), f"group {group} takes one host, has {len(names)}: {shown_names}")
            if names and not len(names) % 2 and group in ODD_GROUPS:
                why = "an even one survives no more failures than one fewer"
                document.add(("hosts",), f"group {group} takes an odd number of hosts, has {len(names)}", why)


def _check_provider(document: Document, raw: dict[str, Any], provider: object) -> None:
    settings = provider if isinstance(provider, dict) else {"type": provider}
    kind = settings.get("type")
    why = "its hosts exist already"
    if kind == "static":
        for key in {"image", "subnet"} & set(settings):
            document.add(("provider", key), "provider static takes no such setting", why)
    addresses: dict[str, str] = {}
    total = 0
    for key, host in raw.items():
        fields = host if isinstance(host, dict) else {}
        total += len(_expanded(key, fields.get("count")))
        if kind == "static":
            for limit in {"count", "memory", "cpus"} & set(fields):
                document.add(("hosts", key, limit), "provider static takes no such setting", why)
            if "address" not in fields:
                document.add(("hosts", key), "provider static needs an address for each host", "address: 192.0.2.10")
        elif "address" in fields and isinstance(kind, str):
            document.add(("hosts", key, "address"), f"provider {kind} gives addresses itself", "leave it out")
        address = fields.get("address")
        if isinstance(address, str) and address.lower() in addresses:
            other = addresses[address.lower()]
            document.add(("hosts", key, "address"), f"{address} is also the address of {other}")
        elif isinstance(address, str):
            addresses[address.lower()] = key
    try:
        network = ipaddress.IPv4Network(settings.get("subnet") or "10.0.0.0/8")
    except (ValueError, TypeError):
        return
    # Network, broadcast, and the controller's own address on the bridge are not for hosts.
    room = network.num_addresses - 3
    if total > room:
        document.add(("provider", "subnet"), f"{network} has room for {room} hosts, the lab has {total}", "widen it")
