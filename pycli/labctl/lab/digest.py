# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of Ansible on a lab's hosts depends on, as digests of bytes: equal digests, equal outcome.

Nothing is parsed, merged or templated, so that nothing of Ansible's precedence has to be known here. Each input is a
named *part*, so that who compares two sets of parts can say what changed. Where it cannot be told whom an input
concerns, it concerns every host: a needless run is allowed, a missed one is not.

Digests of what a user wrote, and of secrets, are keyed with a random key of the lab's own: a short password cannot be
guessed from them.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils import errors
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.paths import chown_to_caller, make_dir

#: What of the collection decides what its playbooks do; of roles and plugins, each folder is a part of its own.
COLLECTION = ("galaxy.yml", "meta", "playbooks", "artifacts", "plugins", "roles")
#: Packages that Ansible and the collection's own code run on.
TOOLS = ("labctl", "ansible-core", "ansible-runner", "Jinja2", "PyYAML", "cryptography")
#: Variables of other hosts that roles read through ``hostvars``; a test looks for others.
PEER_VARIABLES = ("lab_address", "ansible_host")
#: What the lab resolved to; a run adds what it is first to resolve.
LOCK = "lab.lock"
#: Below the secrets folder, and no secret of the lab: what earlier runs ran on, for `labctl replay`.
INPUTS = "inputs"

_PASSED_OVER = {"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
#: In a user's variables: what they come to depends on more than their bytes.
_IMPURE = re.compile(
    rb"\b(?:lookup|query|q|now)\s*\("
    rb"|\b(?:random|shuffle|password_hash|expandvars|fileglob|unvault|ansible_facts|ansible_date_time|ansible_env)\b"
    rb"|\bis\s+(?:not\s+)?(?:ansible\.builtin\.)?(?:abs|directory|exists|file|link|mount|same_file)\b"
    rb"|\$ANSIBLE_VAULT"
)
_PEERS = re.compile(rb"\b(?:" + b"|".join(name.encode() for name in PEER_VARIABLES) + rb")\b|\$ANSIBLE_VAULT")
#: An inventory file with any other key may compose variables and groups.
_PLAIN_KEYS = (b"plugin", b"lab", b"lab_dir", b"---")


@dataclass(frozen=True)
class Inputs:
    """Parts with their digests: of all hosts, of single hosts, and, in ``secret``, of each file with a secret.

    ``impure`` are the parts whose outcome nobody can tell without running Ansible. ``composed`` says that the inventory
    file may put hosts into groups that the lab file does not name. ``lock`` is what :data:`LOCK` held.
    """

    shared: dict[str, str]
    own: dict[str, dict[str, str]]
    secret: dict[str, str] = field(default_factory=dict)
    impure: frozenset[str] = frozenset()
    composed: bool = False
    lock: bytes = b""

    def of(self, host: str) -> dict[str, str]:
        """All parts a host's outcome depends on."""
        return {**self.shared, **self.own[host], "secrets": self.secrets}

    @cached_property
    def secrets(self) -> str:
        """All secrets in one digest."""
        return keyed(b"", _text(self.secret))

    def after(self, later: Mapping[str, str]) -> Inputs:
        """These inputs with the secrets a run has made since; secrets that it changed are left as they were.

        So what a run found is what it is taken to have used, whatever somebody wrote meanwhile.
        """
        kept = {name: self.secret.get(name, digest) for name, digest in later.items()}
        return replace(self, secret=kept)

    def lock_after(self, lab: Lab, key: bytes) -> dict[str, str]:
        """The part :data:`LOCK` with what a run has added since; nothing where somebody changed what was there."""
        from ansible_collections.labctl.stacks.plugins.module_utils.lablock import only_added

        later = read(lab.spec.parent / LOCK)
        return {LOCK: keyed(key, later)} if later and only_added(self.lock, later) else {}


def inputs(
    lab: Lab, answers: Iterable[Any], key: bytes, facts: Mapping[str, Mapping[str, str]] | None = None
) -> Inputs:
    """The inputs of a lab whose provider answers with these hosts; ``facts`` are parts of hosts with their values."""
    files = VariableFiles(lab, key)
    hosts = {host.name: host for host in answers}
    shared = {
        **collection(),
        **tools(),
        **_own_code(),
        **files.shared(lab.spec, lab.inventory, lab.spec.parent / "site.yml"),
    }
    shared["hosts, groups and addresses"] = keyed(key, _peers(lab, hosts, all_of_them=files.composed))
    own = {}
    for host in lab.hosts:
        variables = hosts[host.name].variables if host.name in hosts else {}
        own[host.name] = {"its variables": keyed(key, _text(variables)), **files.of(host.name, host.groups)}
        own[host.name] |= {part: keyed(key, value.encode()) for part, value in (facts or {}).get(host.name, {}).items()}
    lock = read(lab.spec.parent / LOCK)
    if lock:
        shared[LOCK] = keyed(key, lock)
    return Inputs(shared, own, secret_files(lab, key), frozenset(files.impure), files.composed, lock)


def _peers(lab: Lab, hosts: Mapping[str, Any], *, all_of_them: bool) -> bytes:
    """What every host knows of every other."""
    rows = []
    for spec in lab.hosts:
        host = hosts.get(spec.name)
        variables = dict(host.variables) if host else {}
        if not all_of_them:
            variables = {name: variables.get(name) for name in PEER_VARIABLES}
        rows.append([spec.name, spec.groups, host.address if host else "", variables])
    return _text(rows)


class VariableFiles:
    """group_vars and host_vars beside the lab file, sorted into what concerns all hosts and what only some."""

    def __init__(self, lab: Lab, key: bytes) -> None:
        self.impure: set[str] = set()
        self._key = key
        self._groups = set(lab.groups())
        self._hosts = {host.name for host in lab.hosts}
        self._inventory = read(lab.inventory)
        keys = [
            line.split(b":")[0].strip() for line in self._inventory.splitlines() if line[:1] not in (b" ", b"#", b"")
        ]
        self.composed = any(name not in _PLAIN_KEYS for name in keys)
        self._entries: dict[str, dict[str, bytes]] = {
            f"{folder}/{entry.name}": contents(Path(entry.path))
            for folder in ("group_vars", "host_vars")
            for entry in _entries(lab.spec.parent / folder)
        }
        everything = [
            self._inventory,
            read(lab.spec),
            *(text for files in self._entries.values() for text in files.values()),
        ]
        # Who gives a variable that peers read anew may build it of any other variable.
        self._wide = self.composed or any(_PEERS.search(text) for text in everything)

    def shared(self, *files: Path) -> dict[str, str]:
        """Single files, as far as they exist, and the variables that are not certainly of some hosts only."""
        found = {path.name: keyed(self._key, read(path)) for path in files if os.path.lexists(path)}
        if self.composed and _IMPURE.search(self._inventory):
            self.impure.update(path.name for path in files[1:2])
        if own := contents(files[0].parent / "artifacts"):
            found["the lab's artifacts"] = keyed(self._key, _framed(own))
        return found | {part: self._digest(part) for part in self._entries if self._wide or not self._whose(part)}

    def of(self, host: str, groups: Iterable[str]) -> dict[str, str]:
        """The variables of one host and of its groups."""
        names = {f"host_vars/{host}", *(f"group_vars/{group}" for group in groups)}
        return {} if self._wide else {part: self._digest(part) for part in self._entries if self._whose(part) in names}

    def _whose(self, part: str) -> str:
        """``group_vars/GROUP`` or ``host_vars/HOST``; empty for groups that mean all hosts, and for what is unknown."""
        folder, name = part.split("/", 1)
        plain = re.sub(r"\.(?:ya?ml|json)$", "", name)
        return f"{folder}/{plain}" if plain in (self._groups if folder == "group_vars" else self._hosts) else ""

    def _digest(self, part: str) -> str:
        files = self._entries[part]
        if any(_IMPURE.search(text) for text in files.values()):
            self.impure.add(part)
        return keyed(self._key, _framed(files))


def collection() -> dict[str, str]:
    """Digests of the collection that this labctl imports: a part for each role and for each other folder."""
    root = collection_root()
    found = {}
    for name in COLLECTION:
        for part in [f"roles/{entry.name}" for entry in _entries(root / name)] if name == "roles" else [name]:
            found[part] = keyed(b"", _framed(contents(root / part)))
    return found


def collection_root() -> Path:
    """The folder of the collection that this labctl imports."""
    return Path(str(errors.__file__)).absolute().parents[2]


def tools() -> dict[str, str]:
    """The versions of what runs the playbooks."""
    found = {"python": sys.version.split()[0]}
    for name in TOOLS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


def _own_code() -> dict[str, str]:
    """Our own part in it: the settings that Ansible is started with."""
    return {"how Ansible is started": keyed(b"", _framed(contents(Path(__file__).parents[1] / "ansible")))}


def secret_files(lab: Lab, key: bytes) -> dict[str, str]:
    """Digests of the lab's secrets, by file."""
    found = contents(lab.lab_dir / "secrets")
    return {name: keyed(key, text) for name, text in found.items() if name.split("/")[0] != INPUTS}


def lab_key(lab: Lab) -> bytes:
    """The key of the lab's digests; a passing one, with which nothing compares equal, where there is none."""
    key = read(lab.lab_dir / "digest.key")
    return key if len(key) == 32 else secrets.token_bytes(32)


def ensure_key(lab: Lab) -> bool:
    """Make the lab's key where there is none; whether it was made."""
    path = lab.lab_dir / "digest.key"
    if len(read(path)) == 32:
        return False
    make_dir(lab.lab_dir)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(secrets.token_bytes(32))
        stream.flush()
        os.fsync(stream.fileno())
    chown_to_caller(draft)
    draft.replace(path)
    return True


def contents(path: Path, name: str = "", depth: int = 0) -> dict[str, bytes]:
    """A file's content, or that of every file below a folder, by its name there; links are followed, as Ansible does.

    What cannot be read, and what is no file, has a content that is never the same twice.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return {name: read(path)} if path.is_symlink() else {}
    except OSError:
        return {name: secrets.token_bytes(16)}
    if not stat.S_ISDIR(mode):
        return {name: read(path)}
    if depth > 20:  # a link to a folder above itself
        return {name: secrets.token_bytes(16)}
    found: dict[str, bytes] = {}
    for entry in _entries(path):
        found |= contents(Path(entry.path), f"{name}/{entry.name}".lstrip("/"), depth + 1)
    return found


def read(path: Path) -> bytes:
    """A file's bytes, empty where there is none; see :func:`contents` for what cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return secrets.token_bytes(16)
            return stream.readall()
    except FileNotFoundError:
        return bytes(path.readlink()) if path.is_symlink() else b""
    except OSError:
        return secrets.token_bytes(16)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, sorted by name; nothing where there is no folder. InputError where it cannot be read."""
    try:
        found = [entry for entry in os.scandir(folder) if entry.name not in _PASSED_OVER]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:
        hint = "run as the user who made the lab"
        raise errors.InputError(f"{folder} cannot be read: {exc.strerror}", hint=hint) from exc
    return sorted(found, key=lambda entry: entry.name)


def _text(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, default=str).encode()


def _framed(files: Mapping[str, bytes]) -> bytes:
    """Names and contents such that no two sets of files look alike."""
    return b"".join(f"{len(name)} {len(text)} {name}".encode() + text for name, text in sorted(files.items()))


def keyed(key: bytes, content: bytes) -> str:
    """The digest of a content under a key; the empty key is nobody's."""
    return blake2b(content, digest_size=16, key=key).hexdigest()
