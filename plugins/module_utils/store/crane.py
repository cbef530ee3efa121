# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: images from a registry through ``crane``, which needs no daemon and no root.

It is the user's own ``crane`` where there is one. Source: https://github.com/google/go-containerregistry.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, PreflightError
from . import oci
from .digests import UNPINNED
from .process import run
from .tree import sha256_file

if TYPE_CHECKING:
    from .sources.base import Job, Progress

#: Seconds without a further byte after which a registry is taken for dead.
STALL = 120.0


def program(job: Job) -> str:
    """The user's ``crane``, else the catalogue's. Raises PreflightError where there is neither."""
    if found := shutil.which("crane"):
        return found
    try:
        return str(job.resolve("crane", None).path / "bin" / "crane")
    except (InputError, PreflightError) as exc:
        raise PreflightError(
            f"crane is not installed, and this image would be pulled by it; {exc}", hint="Install crane, or mend this."
        ) from exc


def pull(
    program: str, reference: str, digest: str, arch: str, folder: Path, progress: Progress
) -> tuple[oci.Blob, oci.Blob, list[oci.Blob]]:
    """Manifest, configuration and layers of an image of a registry, all verified from its digest on.

    ``digest`` is that of the manifest, or of the list of manifests of all architectures; ``folder`` is empty, and must
    last as long as the result. Raises PreflightError: no registry, or other bytes than ``digest`` says.
    """
    name = reference.rpartition(":")[0]
    wanted = reference if digest == UNPINNED else f"{name}@{digest}"
    layout, log = folder / "layout", folder / "log"
    step = f"pulling {reference}"

    def watch() -> int:
        done = sum(path.stat().st_size for path in layout.rglob("*") if path.is_file())
        progress(step, done, 0)
        return done

    platform = f"--platform=linux/{oci.ARCHITECTURES[arch]}"
    argv = [program, "pull", platform, "--format=oci", wanted, str(layout)]
    status = run(argv, log, cwd=folder, env={**os.environ, "LC_ALL": "C.UTF-8"}, stall=STALL, watch=watch)
    if status != 0:
        said = log.read_text(errors="replace").strip().splitlines()
        raise PreflightError(f"crane failed: {said[-1][:400] if said else 'it said nothing'}")
    return _read(layout)


def _read(layout: Path) -> tuple[oci.Blob, oci.Blob, list[oci.Blob]]:
    index = json.loads((layout / "index.json").read_text())
    if len(index["manifests"]) != 1:
        raise PreflightError(f"crane brought {len(index['manifests'])} images instead of one")
    manifest = _blob(layout, index["manifests"][0])
    content = json.loads(Path(str(manifest.content)).read_text())
    return manifest, _blob(layout, content["config"]), [_blob(layout, layer) for layer in content["layers"]]


def _blob(layout: Path, descriptor: dict[str, Any]) -> oci.Blob:
    algorithm, _, hexadecimal = str(descriptor["digest"]).partition(":")
    path = layout / "blobs" / "sha256" / hexadecimal
    if algorithm != "sha256" or "/" in hexadecimal or not path.is_file() or sha256_file(path) != hexadecimal:
        raise PreflightError(f"crane brought a part that is not {descriptor['digest']}")
    return oci.Blob(str(descriptor["mediaType"]), hexadecimal, path.stat().st_size, path)
