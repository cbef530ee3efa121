# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl as wheels: what it depends on, at the versions installed here, by pip; and its own, with the collection in it.

The versions are kept in the store under their own digest, so that a second bundle asks no index.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import io
import json
import os
import platform
import re
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store import process
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import Artifact
from ansible_collections.labctl.stacks.plugins.module_utils.store.disk import make_folder
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.base import Job, Source, Where
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import Entry

NAME = "labctl"
#: What the artefact of the wheels is called.
ARTIFACT = "python-wheels"
#: Seconds after which a pip that brings nothing is taken for stuck.
STALL = 180.0


def tag() -> str:
    """The interpreter that compiled wheels are for, such as cp311."""
    return f"cp{sys.version_info.major}{sys.version_info.minor}"


def closure() -> dict[str, str]:
    """Normalised name to version of all that labctl depends on here, itself left out.

    PreflightError where something of it is not installed.
    """
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    waiting = [(NAME, frozenset[str]())]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError as exc:
            raise PreflightError(f"{name}, which labctl needs, is not installed", hint="install labctl anew") from exc
        found[name] = distribution.version
        for line in distribution.requires or []:
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
                item = (re.sub(r"[-_.]+", "-", requirement.name).lower(), frozenset(requirement.extras))
                if item not in seen:
                    seen.add(item)
                    waiting.append(item)
    del found[NAME]
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class WheelsSource(Source):
    """Wheels of exactly these ``versions``, for this interpreter and machine, by the user's own pip."""

    name: ClassVar[str] = "pip"

    versions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, fields: Any, where: Where) -> WheelsSource:
        """Not of the catalogue: what labctl depends on is what is installed with it."""
        raise where.error("wheels are no source of the catalogue")

    @property
    def key(self) -> str:
        """The versions, the interpreter and the machine."""
        content = ["wheels", tag(), sysconfig.get_platform(), platform.libc_ver(), self.versions]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def fetch(self, job: Job) -> list[Entry]:
        """Have pip bring them; where the index has a source archive only, it builds the wheel of that."""
        folder = make_folder(job.work / "wheels", 0o700)
        words = [f"{name}=={version}" for name, version in self.versions]
        _pip(["wheel", "--no-deps", "--wheel-dir", str(folder), *words], job.work, job.progress, folder)
        entries = []
        for path in sorted(folder.glob("*.whl")):
            with path.open("rb") as stream:
                sha256, size = job.blobs.add_stream(stream)
            entries.append(Entry(path.name, 0o444, size, sha256))
        if len(entries) != len(words):
            raise PreflightError(f"pip brought {len(entries)} wheels of {len(words)}")
        return entries

    def inputs(self) -> list[Mapping[str, str]]:
        """Every package."""
        return [
            {"name": name, "version": version, "licence": licence(name), "purl": f"pkg:pypi/{name}@{version}",
             "digest": ""}
            for name, version in self.versions
        ]  # fmt: skip


def wheels() -> Artifact:
    """What labctl depends on, as an artefact whose tree holds the wheels."""
    where = Where(Path("pyproject.toml"), ARTIFACT, metadata.version(NAME), platform.machine())
    source = WheelsSource(where=where, versions=tuple(closure().items()))
    return Artifact(ARTIFACT, where.version, where.arch, (source,))


def licence(name: str) -> str:
    """The SPDX expression that an installed package states; empty where it states none."""
    try:
        fields = metadata.metadata(name)
        return next(iter(fields.get_all("License-Expression") or []), "")
    except metadata.PackageNotFoundError:
        return ""


def own_wheel(folder: Path) -> Path:
    """labctl's own wheel, made in ``folder``: built from the checkout it runs from, or put together as installed.

    The same labctl gives the same bytes. PreflightError where it cannot be built.
    """
    distribution = metadata.distribution(NAME)
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        checkout = unquote(urlsplit(origin["url"]).path)
        # The build tool where it is at hand, else pip gets the pinned one.
        alone = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
        words = ["wheel", "--no-deps", *alone, "--wheel-dir", str(folder), checkout]
        _pip(words, folder, lambda step, done, total: None, folder)
        return next(folder.glob("labctl-*.whl"))
    return _repacked(distribution, folder)


def _repacked(distribution: metadata.Distribution, folder: Path) -> Path:
    """A wheel of an installed pure Python package. Source: the binary distribution format of packaging.python.org."""
    names = {"INSTALLER", "REQUESTED", "direct_url.json", "RECORD"}
    files = {
        str(file): file.read_binary()
        for file in distribution.files or []
        if not str(file).startswith("..") and file.suffix != ".pyc" and file.name not in names
    }
    record = next((f"{Path(path).parent}/RECORD" for path in files if path.endswith(".dist-info/WHEEL")), "")
    if not record:
        raise PreflightError(
            "labctl's own wheel cannot be made: it was not installed by pip", hint="pip install labctl"
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for path, content in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        writer.writerow([path, f"sha256={digest}", len(content)])
    writer.writerow([record, "", ""])
    target = folder / f"{NAME}-{distribution.version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in [*sorted(files.items()), (record, text.getvalue().encode())]:
            info = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            info.external_attr, info.compress_type = 0o100644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return target


def _pip(words: list[str], work: Path, progress: Any, folder: Path) -> None:
    if importlib.util.find_spec("pip") is None:
        raise PreflightError(
            "pip is missing beside labctl, and wheels come through it", hint=f"{sys.executable} -m ensurepip"
        )
    log = work / "pip.log"
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *words]
    # hatchling's own time for what is in a wheel.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1580601600"}

    def watch() -> tuple[int, int]:
        count = len(list(folder.glob("*.whl")))
        progress("wheels by pip", 0, 0)
        return count, log.stat().st_size

    if process.run(argv, log, cwd=work, env=environment, stall=STALL, watch=watch) != 0:
        said = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("ERROR: ")]
        reason = said[0].removeprefix("ERROR: ") if said else "it did not say why"
        raise PreflightError(f"pip failed: {reason[:300]}", hint="Is the package index reachable?")
