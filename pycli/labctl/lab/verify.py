# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks every host at once whether it is still as the last run left it: one ssh per host, and nothing changed there.

The program that looks is plugins/module_utils/verify.py of the collection; what it sees and what it does not is told
there. Here its answer is compared with the digests of the manifests in the lab folder, and kept is what makes the next
look quick: the seals of files that were read, and the program as that host's own Python compiled it (compiling takes
longer than the look). Both go back only to the host they came from, as a host could make them say anything. Without
them, or with ``cold``, everything is read.
"""

from __future__ import annotations

import base64
import hashlib
import json
import marshal
import os
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils import paths

from labctl.lab.parallel import together

#: Ssh processes at one time.
PARALLEL = 64
#: What is read of an answer; the longest honest one is some kilobytes.
LONGEST = 16 << 20
UNTOUCHED = b"\0\0\0\0"
PACKAGE = "ansible_collections.labctl.stacks.plugins.module_utils."
PARTS = ("verify_files", "verify_net", "verify_bus", "verify")
#: Runs the parts as modules of their own names, from source or as the same Python compiled them, on the request.
BOOT = r"""
import marshal,sys,zlib,_frozen_importlib_external as f
d=zlib.decompressobj()
p=d.decompress(sys.stdin.buffer.read())
t=p[:4]
if t not in(b"\0\0\0\0",f.MAGIC_NUMBER):sys.exit(75)
c=[(n,compile(s,n,"exec",0,1,2)if isinstance(s,str)else s)for n,s in marshal.loads(p[4:])]
for n,s in c:
 m=sys.modules[n]=type(sys)(n)
 exec(s,m.__dict__)
m.main(zlib.decompress(d.unused_data).decode())
if t!=f.MAGIC_NUMBER:
 import binascii
 print("code",binascii.b2a_base64(zlib.compress(f.MAGIC_NUMBER+marshal.dumps(c)),newline=False).decode())
"""


@dataclass(frozen=True)
class Drift:
    """One thing that is not as it was left. ``kind`` is manifest, file, link, tree, directory, package, user, group,
    sysctl, kernel_module, unit, check or probe; ``item`` its path or name; ``what`` of it differs."""

    role: str
    kind: str
    item: str
    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        text = f"{self.kind} {self.item}: {self.what}"
        if self.expected and self.found:
            return f"{text}: {self.found} instead of {self.expected}"
        return f"{text}: {self.found or self.expected}" if self.found or self.expected else text


@dataclass(frozen=True)
class HostExpectation:
    """What must be so on a host besides its manifests being those of the lab folder.

    ``roles`` must have a manifest, even if the lab folder knows of none. ``become`` is a command, such as
    ``("sudo", "-n")``, for hosts whose ssh user is not root.
    """

    roles: frozenset[str] = frozenset()
    become: tuple[str, ...] = ()


@dataclass(frozen=True)
class HostReport:
    """What a host answered. ``manifests`` are role to sha256; ``skipped`` names checks that only a full run makes."""

    host: str
    reachable: bool
    error: str
    manifests: dict[str, str]
    drift: tuple[Drift, ...]
    seconds: float
    skipped: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Reached, understood, and nothing differs."""
        return self.reachable and not self.error and not self.drift


class _SilentError(Exception):
    """The host was not reached. The message says why."""


class _FailedError(Exception):
    """The host was reached and gave no answer that makes sense. The message says why."""


def verify(
    lab_dir: Path, ssh_config: Path, hosts: Mapping[str, HostExpectation], timeout: float = 15.0, *, cold: bool = False
) -> dict[str, HostReport]:
    """Look at these hosts, all at once, each within ``timeout`` seconds. Raises nothing about a host: see its report.

    A host for which the lab folder and itself both know of no manifest is clean: whether one should be there is for
    the caller to know (``HostExpectation.roles``).
    """
    source = _source()

    def look(host: str) -> HostReport:
        begun = time.monotonic()
        try:
            return _look(lab_dir, ssh_config, host, hosts[host], timeout, cold, source)
        except (_SilentError, _FailedError) as exc:
            reached = isinstance(exc, _FailedError)
            return HostReport(host, reached, str(exc), {}, (), time.monotonic() - begun)

    steps: dict[str, Callable[[], HostReport]] = {host: partial(look, host) for host in hosts}
    reports, errors, _ = together(steps, PARALLEL)
    for error in errors.values():
        raise error
    return {host: reports[host] for host in hosts}


def file_content(
    lab_dir: Path, ssh_config: Path, host: str, files: list[str], timeout: float = 15.0, become: tuple[str, ...] = ()
) -> dict[str, bytes]:
    """The content on the host of managed files, of those that exist, are plain files of at most 1 MiB, and no secret.

    Which are secret is taken from manifests whose digest the lab folder vouches for; files of others are left out, as
    is everything where the host gives no answer.
    """
    try:
        answer, _ = _ask(ssh_config, host, _source(), {"contents": files}, timeout, become)
        known = kept_digests(lab_dir, host)
        trusted = [text for role, text in answer["manifests"].items() if _sha(text.encode()) == known.get(role)]
        if len(trusted) != len(answer["manifests"]):
            return {}
        sections = [section for text in trusted for section in json.loads(text)["sections"].values()]
        records = [record for section in sections for record in section.get("files", [])]
        secret = {record["path"] for record in records if record.get("secret")}
        public = {record["path"] for record in records} - secret
        return {
            path: base64.b64decode(text)
            for path, text in answer["contents"].items()
            if path in public and path in files
        }
    except (_SilentError, _FailedError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def kept_digests(lab_dir: Path, host: str) -> dict[str, str]:
    """Role to the sha256 of its manifest on a host, as the bulk modules' actions wrote them into the lab folder."""
    folder = lab_dir / "manifests" / _plain(host)
    return {path.stem: path.read_text().strip() for path in sorted(folder.glob("*.sha256"))}


def compare_manifests(expected: Mapping[str, str], found: Mapping[str, str], roles: frozenset[str]) -> list[Drift]:
    """Manifests that are missing, that the lab folder does not know, or that differ."""
    drift = []
    for role in sorted({*expected, *found, *roles}):
        want, have = expected.get(role, ""), found.get(role, "")
        if not have:
            drift.append(Drift(role, "manifest", role, "on the host", want[:12] or "a manifest", "none"))
        elif not want:
            drift.append(Drift(role, "manifest", role, "not known to this lab folder", "", have[:12]))
        elif want != have:
            drift.append(Drift(role, "manifest", role, "sha256", want[:12], have[:12]))
    return drift


def _look(
    lab_dir: Path,
    ssh_config: Path,
    host: str,
    expectation: HostExpectation,
    timeout: float,
    cold: bool,
    source: bytes,
) -> HostReport:
    begun = time.monotonic()
    memory = lab_dir / "verify" / f"{_plain(host)}.json"
    kept = {} if cold else _recall(memory, source)
    try:
        code = str(kept.get("code", ""))
        program = base64.b64decode(code) if code else source
        request = {"seals": kept.get("seals", {})}
        answer = None
        if program is not source:
            # Of another Python by now, or damaged: then the source will do.
            with suppress(_FailedError):
                answer, code = _ask(ssh_config, host, program, request, timeout, expectation.become)
        if answer is None:
            left = timeout - (time.monotonic() - begun)
            answer, code = _ask(ssh_config, host, source, request, left, expectation.become)
        manifests = {_clear(role): _clear(digest) for role, digest in answer["manifests"].items()}
        told = [Drift(*(_clear(word) for word in row)) for row in answer["drift"]]
        seals = {str(key): str(seal) for key, seal in answer["seals"].items()}
        skipped = tuple(_clear(name) for name in answer["skipped"])
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise _FailedError(f"its answer makes no sense: {exc!r}") from exc
    remember = {"program": _sha(source), "seals": seals, "code": code or kept.get("code", "")}
    if remember != kept:
        _remember(memory, remember)
    drift = compare_manifests(kept_digests(lab_dir, host), manifests, expectation.roles) + told
    return HostReport(host, True, "", manifests, tuple(drift), time.monotonic() - begun, skipped)


def _ask(
    ssh_config: Path, host: str, program: bytes, request: dict[str, Any], timeout: float, become: tuple[str, ...]
) -> tuple[Any, str]:
    """The host's answer, and the program as its Python compiled it where it had to."""
    options = ["-T", "-oBatchMode=yes", f"-oConnectTimeout={max(1, int(timeout))}"]
    command = " ".join([*become, f"python3 -ISc '{BOOT}'"])
    # A file: an ssh master that this call starts may keep its standard error open for as long as it lives.
    with tempfile.TemporaryFile() as said:
        argv = ["ssh", "-F", str(ssh_config), *options, "--", host, command]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)
        try:
            output, _ = process.communicate(program + zlib.compress(json.dumps(request).encode()), max(timeout, 0.1))
        except subprocess.TimeoutExpired:
            raise _SilentError(f"no answer within {timeout:.0f} s") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        said.seek(0)
        errors = _clear(" ".join(said.read(4096).decode(errors="replace").split()))
    lines = output[:LONGEST].decode(errors="replace").splitlines()
    answers = [line[7:] for line in lines if line.startswith("labctl ")]
    if process.returncode or not answers:
        if process.returncode == 255:
            raise _SilentError(errors or "ssh failed")
        why = "has no python3" if process.returncode == 127 else f"the verifier failed: {errors[-300:]}"
        raise _FailedError(why)
    codes = [line[5:] for line in lines if line.startswith("code ")]
    return json.loads(answers[-1]), codes[-1] if codes else ""


def _source() -> bytes:
    """The program's parts in the order they need each other, packed for BOOT."""
    folder = Path(paths.__file__).parent
    parts = [(PACKAGE + part, (folder / f"{part}.py").read_text()) for part in PARTS]
    # Version 2 of marshal's format is the same in every Python 3.
    return zlib.compress(UNTOUCHED + marshal.dumps(parts, 2))


def _recall(memory: Path, source: bytes) -> dict[str, Any]:
    """What was kept of a host, {} for nothing, for what makes no sense, and for another program's."""
    try:
        kept: dict[str, Any] = json.loads(memory.read_text())
        return kept if kept["program"] == _sha(source) and isinstance(kept["seals"], dict) else {}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _remember(memory: Path, what: dict[str, Any]) -> None:
    """Keep it whole or not at all, for this user alone. Not being able to costs time next time, no more."""
    with suppress(OSError):
        paths.make_dir(memory.parent, 0o700)
        descriptor, name = tempfile.mkstemp(prefix=".", dir=memory.parent)
        with os.fdopen(descriptor, "w") as stream:
            json.dump(what, stream)
        paths.chown_to_caller(Path(name))
        Path(name).replace(memory)


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _plain(host: str) -> str:
    """A host's name as one part of a path, as the bulk modules' actions write it."""
    return host.replace("/", "_").lstrip(".") or "_"


def _clear(word: str) -> str:
    """A host's word, harmless on a terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(word))
