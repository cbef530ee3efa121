# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: programs built from Go modules through the ordinary ``go``, by a committed lock.

The lock folder beside the entry holds a main module of our own: go.mod with every version, go.sum with every digest,
local Go files if any, and ``outputs``, which says what the programs must be. Without cgo the same inputs give the same
bytes on every machine (https://go.dev/blog/rebuild), so the outputs are pinned; with cgo the machine's C compiler and
libraries come in, so the inputs are pinned and the store's records keep what they gave.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ...errors import InputError, PreflightError
from ..disk import make_folder
from ..gotool import ARCHITECTURES, Go, jobs
from ..tree import Entry, plain_path, sha256_file
from .base import Job, Progress, Source, Where, silent

_TOOLCHAIN = re.compile(r"go1\.\d+\.\d+")
_OUTPUT = re.compile(r"([a-z0-9_]+) ([0-9a-f]{64}) ([0-9]{1,12}) (0444|0555) (\S.*)")
OUTPUTS = "outputs"


@dataclass(frozen=True)
class GoSource(Source):
    """Programs from Go modules. ``packages`` maps the path in the tree to the import path of a main package."""

    name: ClassVar[str] = "go"

    toolchain: str
    lock: Path
    packages: dict[str, str]
    require: dict[str, str]
    unreleased: str = ""
    replace: tuple[tuple[str, str], ...] = ()
    stubs: Path | None = None
    files: Path | None = None
    take: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    ldflags: str = ""
    cgo: bool = False
    debian: tuple[str, ...] = ()
    sumdb_skip: tuple[str, ...] = ()

    @classmethod
    def parse(cls, fields: Any, where: Where) -> GoSource:
        """From the catalogue; InputError names file, entry and key."""
        item = where.keys(
            fields,
            "go",
            required={"toolchain", "lock", "packages"},
            optional={
                *("require", "unreleased", "replace", "stubs", "files", "take"),
                *("tags", "ldflags", "cgo", "debian", "sumdb_skip"),
            },
        )
        if not _TOOLCHAIN.fullmatch(where.string(item["toolchain"], "go.toolchain")):
            raise where.error(f"go.toolchain must be like go1.26.8, not {item['toolchain']!r}")
        packages = where.mapping(item["packages"], "go.packages")
        programs = [program_name(package) for package in packages.values()]
        if len(set(programs)) < len(programs):
            raise where.error("go.packages has two that go gives the same name", "Make two entries of it.")
        rules = [where.keys(rule, "go.take", required={"from", "to"}) for rule in item.get("take", ())]
        if not isinstance(item.get("cgo", False), bool):
            raise where.error("go.cgo must be true or false")
        folder = where.file.parent
        return cls(
            where=where,
            toolchain=item["toolchain"],
            lock=folder / where.string(item["lock"], "go.lock"),
            packages={plain_path(path): package for path, package in packages.items()},
            require=where.mapping(item.get("require", {}), "go.require"),
            unreleased=item.get("unreleased", ""),
            replace=tuple(sorted(where.mapping(item.get("replace", {}), "go.replace").items())),
            stubs=folder / item["stubs"] if "stubs" in item else None,
            files=folder / item["files"] if "files" in item else None,
            take=tuple((str(rule["from"]), str(rule["to"])) for rule in rules),
            tags=where.strings(item.get("tags", []), "go.tags"),
            ldflags=item.get("ldflags", ""),
            cgo=item.get("cgo", False),
            debian=where.strings(item.get("debian", []), "go.debian"),
            sumdb_skip=where.strings(item.get("sumdb_skip", []), "go.sumdb_skip"),
        )

    def imports(self) -> list[str]:
        """The import paths of the main packages."""
        return sorted(set(self.packages.values()))

    def inputs_on_disk(self) -> list[tuple[str, Path]]:
        """The files that make up the main module, with the path each has there."""
        found = [(path.relative_to(self.lock).as_posix(), path) for path in _files(self.lock) if path.name != OUTPUTS]
        if self.stubs:
            found += [(f"stubs/{path.relative_to(self.stubs).as_posix()}", path) for path in _files(self.stubs)]
        return sorted(found)

    def copy_inputs(self, folder: Path) -> None:
        """Lay the main module out in an empty folder."""
        for name, path in self.inputs_on_disk():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)

    def stub_modules(self) -> dict[str, str]:
        """Module path to folder below ``stubs``, for each go.mod there."""
        found = {}
        for path in _files(self.stubs) if self.stubs else []:
            if path.name == "go.mod" and self.stubs:
                match = re.search(r"^module\s+(\S+)", path.read_text(), re.MULTILINE)
                found[match[1] if match else ""] = path.parent.relative_to(self.stubs).as_posix()
        return found

    @functools.cached_property
    def key(self) -> str:
        """Digest of everything that decides the content: what is compiled, by which toolchain, with which switches."""
        digest = hashlib.sha256()
        switches = (self.where.arch, self.toolchain, sorted(self.packages.items()), self.take, self.tags, self.ldflags)
        digest.update(repr((*switches, self.cgo, self.debian)).encode())
        own = [(f"files/{entry.path}", path) for entry, path in self.own_files()]
        for name, path in [*self.inputs_on_disk(), *own]:
            digest.update(f"{sha256_file(path)} {name}\n".encode())
        return digest.hexdigest()

    def own_files(self) -> list[tuple[Entry, Path]]:
        """The files the catalogue itself adds, with where they stand."""
        if self.files is None:
            return []
        root = self.files
        return [
            (Entry(path.relative_to(root).as_posix(), 0o444, path.stat().st_size, sha256_file(path)), path)
            for path in _files(root)
        ]

    def entries(self) -> list[Entry] | None:
        """The whole tree as the lock pins it; None with cgo, and for an architecture that nobody has built for yet."""
        path = self.lock / OUTPUTS
        if self.cgo or not path.exists():
            return None
        found = []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = _OUTPUT.fullmatch(line)
            if match is None:
                raise InputError(f"{path}:{number}: not `<architecture> <sha256> <bytes> <mode> <path>`")
            if match[1] == self.where.arch:
                found.append(Entry(match[5], int(match[4], 8), int(match[3]), match[2]))
        missing = self.packages.keys() - {entry.path for entry in found}
        if found and missing:
            raise InputError(f"{path}: lacks {sorted(missing)[0]}", hint="Write it anew with relock.")
        return sorted(found + [entry for entry, _ in self.own_files()]) or None

    def go(self, cache: Path, *, skip_sums: tuple[str, ...] = ()) -> Go:
        """The compiler of this entry. Raises PreflightError when it cannot be had."""
        return Go(self.toolchain, cache, arch=self.where.arch, cgo=self.cgo, skip_sums=skip_sums)

    def fetch(self, job: Job) -> list[Entry]:
        """Build, verify, take in. PreflightError: no go, the compiler's first errors, other bytes than pinned."""
        if self.where.arch not in ARCHITECTURES:
            raise PreflightError(f"nothing says how to build for {self.where.arch}")
        work = make_folder(job.work / "go", 0o755)
        found = self.build(job.blobs.root.parent / "go", work, job.progress)
        pinned = {entry.path: entry for entry in self.entries() or ()}
        for entry, _ in found:
            wanted = pinned.get(entry.path, entry)
            if pinned and (entry.path not in pinned or wanted != entry):
                raise PreflightError(
                    f"{entry.path} came out as sha256 {entry.sha256} instead of {wanted.sha256}",
                    hint=f"Is this {self.toolchain} the one of go.dev? A distribution's may be patched.",
                )
        for _, path in found:
            with path.open("rb") as stream:
                job.blobs.add_stream(stream)
        shutil.rmtree(work, ignore_errors=True)
        return sorted(entry for entry, _ in found)

    def build(self, cache: Path, work: Path, progress: Progress = silent) -> list[tuple[Entry, Path]]:
        """Compile in the empty folder ``work`` with caches in ``cache``; each file of the tree and where it lies."""
        for folder in (cache, cache / "mod", cache / "build"):
            make_folder(folder)
        go = self.go(cache)
        module, out = make_folder(work / "module"), make_folder(work / "out")
        self.copy_inputs(module)
        for path in [module, *module.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        step = f"building {self.where.name} with {self.toolchain}"
        switches = ["-trimpath", "-buildvcs=false", "-mod=readonly"]
        if self.tags:
            switches.append(f"-tags={','.join(self.tags)}")
        listed = go.run(["list", *switches, "-deps", "-f", "{{.ImportPath}}", *self.imports()], module)
        total, done = sum(1 for line in listed.splitlines() if not line.startswith("go: ")), 0

        def tell(line: str) -> None:
            nonlocal done
            done += not line.startswith(("go: ", "#"))
            progress(f"{step}: {done} of at most {total} packages", 0, 0)

        progress(step, 0, 0)
        arguments = ["build", "-v", f"-p={jobs()}", *switches, f"-ldflags={self.ldflags}", "-o", f"{out}/"]
        try:
            go.run([*arguments, *self.imports()], module, tell)
        except PreflightError as exc:
            if self.cgo and not exc.hint:
                needs = " ".join(self.debian or ("gcc",))
                raise PreflightError(str(exc), hint=f"It needs a C compiler and more: apt install {needs}.") from exc
            raise
        found = [(_entry(path, out / program_name(package), 0o555)) for path, package in self.packages.items()]
        found += self.own_files()
        found += self._taken(go, module)
        return found

    def _taken(self, go: Go, module: Path) -> list[tuple[Entry, Path]]:
        """Files that the modules bring besides Go code (settings, templates), as ``take`` selects them."""
        found = []
        for pattern, target in self.take:
            name, _, inside = pattern.partition("//")
            listed = go.run(["list", "-m", "-mod=readonly", "-f", "{{.Dir}}", name], module)
            root = Path(listed.strip().splitlines()[-1])
            paths = [path for path in sorted(root.glob(inside)) if path.is_file() and not path.is_symlink()]
            if not paths:
                raise PreflightError(f"{name} has no file {inside}", hint="Mend the entry's take.")
            fixed = Path(inside.split("*", 1)[0]).parent if "*" in inside else Path(inside).parent
            if "*" in inside and inside.split("*", 1)[0].endswith("/"):
                fixed = Path(inside.split("*", 1)[0])
            for path in paths:
                below = path.relative_to(root / fixed).as_posix()
                found.append(_entry(plain_path(f"{target}/{below}"), path, 0o444))
        return found

    def inputs(self) -> list[Mapping[str, str]]:
        """The toolchain, and the modules it is built from with their digests in go.sum."""
        found = [_part("toolchain", self.toolchain)]
        path = self.lock / "go.sum"
        for line in path.read_text().splitlines() if path.exists() else ():
            module, version, digest = line.split()
            if not version.endswith("/go.mod"):
                found.append(_part(module, version, digest))
        return found


def program_name(package: str) -> str:
    """What ``go build -o folder/`` calls a main package's program: the import path's last element, or the one before
    a major version."""
    *above, last = package.split("/")
    return above[-1] if above and re.fullmatch(r"v[0-9]+", last) else last


def outputs_text(entries: list[Entry], arch: str, others: str = "") -> str:
    """The text of an ``outputs`` file; lines of other architectures are kept."""
    kept = [line for line in others.splitlines() if line and not line.startswith(f"{arch} ")]
    own = [f"{arch} {entry.sha256} {entry.size} {entry.mode:04o} {entry.path}" for entry in entries]
    return "".join(f"{line}\n" for line in sorted(kept + own))


def _part(module: str, version: str, digest: str = "") -> Mapping[str, str]:
    purl = f"pkg:golang/{module}@{version}"
    return {"name": module, "version": version, "licence": "", "purl": purl, "digest": digest}


def _entry(name: str, path: Path, mode: int) -> tuple[Entry, Path]:
    return Entry(name, mode, path.stat().st_size, sha256_file(path)), path


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else []
