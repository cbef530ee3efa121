# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: writes the lock folder of a ``go`` source anew: go.mod, go.sum, and the outputs' digests.

The modules a product ships as cannot be built by ``go install`` when their go.mod replaces others: only the main
module's replaces count. So there is a main module of our own, whose go.mod takes over what the product's says: its Go
version and debug settings, its replaces by other modules, and all the versions it requires. Replaces by a folder name
something that is not published with the module; the version of it that is comes from the entry.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ..errors import PreflightError
from .disk import make_folder
from .gotool import Go
from .sources.golang import OUTPUTS, GoSource, outputs_text


def go_mod(source: GoSource, go: Go, work: Path) -> str:
    """The go.mod to start from, before go adds what the packages need."""
    lines = [f"module labctl/{source.lock.parent.name}", ""]
    replaced = dict(source.replace)
    stubs = source.stub_modules()
    replaced.update((path, f"./stubs/{folder}") for path, folder in stubs.items())
    version, debug, excluded = source.toolchain.removeprefix("go"), {}, set()
    for number, (module, wanted) in enumerate(source.require.items()):
        own = _own_go_mod(go, module, wanted, work)
        if number == 0:
            version = own.get("Go", version)
            debug = {item["Key"]: item["Value"] for item in own.get("Godebug") or ()}
        for item in own.get("Replace") or ():
            target = item["New"]
            if target.get("Version"):
                old = " ".join(filter(None, (item["Old"]["Path"], item["Old"].get("Version", ""))))
                replaced.setdefault(old, f"{target['Path']} {target['Version']}")
        excluded |= {f"{item['Path']} {item['Version']}" for item in own.get("Exclude") or ()}
        for item in own.get("Require") or ():
            if item["Version"] == "v0.0.0" and source.unreleased:
                replaced.setdefault(item["Path"], f"{item['Path']} {source.unreleased}")
    lines += [f"go {version}", ""]
    lines += [f"godebug {key}={value}" for key, value in sorted(debug.items())]
    lines += [f"require {module} {wanted}" for module, wanted in sorted(source.require.items())]
    lines += [f"exclude {item}" for item in sorted(excluded)]
    lines += [f"replace {old} => {new}" for old, new in sorted(replaced.items())]
    return "\n".join([*lines, ""])


def _own_go_mod(go: Go, module: str, version: str, work: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(
        go.run(["mod", "edit", "-json", _place(go, module, version, work)["GoMod"]], work)
    )
    return parsed


def _place(go: Go, module: str, version: str, work: Path) -> dict[str, Any]:
    """Where a module lies in the cache, as ``go mod download -json`` says it."""
    found = go.run(["mod", "download", "-json", f"{module}@{version}"], work)
    place: dict[str, Any] = json.loads(found[found.index("{") : found.rindex("}") + 1])
    return place


def known_sums(source: GoSource, go: Go, work: Path) -> str:
    """What the products' own go.sum say of the modules that the checksum database does not have."""
    lines: list[str] = []
    for module, version in source.require.items() if source.sumdb_skip else ():
        path = Path(_place(go, module, version, work)["Dir"]) / "go.sum"
        lines += [line for line in path.read_text().splitlines() if line.split(" ", 1)[0] in source.sumdb_skip]
    return "".join(f"{line}\n" for line in sorted(set(lines)))


def relock(source: GoSource, cache: Path, work: Path, *, outputs: bool = False) -> Path:
    """Write the lock folder anew, or with ``outputs`` what comes of it alone; its path. Raises PreflightError.

    ``work`` is an empty folder. A build with cgo pins no outputs.
    """
    if not outputs:
        relock_modules(source, cache, make_folder(work / "lock"))
    if not source.cgo:
        own = {entry.path for entry, _ in source.own_files()}
        found = source.build(cache, make_folder(work / "build"))
        path = source.lock / OUTPUTS
        others = path.read_text() if path.exists() else ""
        path.write_text(outputs_text([entry for entry, _ in found if entry.path not in own], source.where.arch, others))
    return source.lock


def relock_modules(source: GoSource, cache: Path, work: Path) -> None:
    """Resolve the entry's modules and write go.mod and go.sum into its lock folder. Raises PreflightError."""
    go = source.go(cache, skip_sums=source.sumdb_skip)
    folder = work / "module"
    folder.mkdir()
    source.lock.mkdir(parents=True, exist_ok=True)
    source.copy_inputs(folder)
    (folder / "go.sum").write_text(known_sums(source, go, folder))
    (folder / "go.mod").write_text(go_mod(source, go, folder))
    if source.require:
        # Without a version, go would take the newest.
        go.run(["get", *(f"{package}@{_version(source, package)}" for package in source.imports())], folder)
    for name in ("go.mod", "go.sum"):
        if (folder / name).exists() and (folder / name).stat().st_size:
            shutil.copyfile(folder / name, source.lock / name)


def _version(source: GoSource, package: str) -> str:
    """The version of the required module that a package is of."""
    modules = [module for module in source.require if f"{package}/".startswith(f"{module}/")]
    if not modules:
        raise PreflightError(f"{package} is of none of the modules that the entry requires")
    return source.require[max(modules, key=len)]
