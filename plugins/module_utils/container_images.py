# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: container images from archives into containerd, for Kubernetes' containers.

Runs on hosts: standard library only, Python 3.8 and newer. Source of the archives' layout: the OCI image layout
specification, https://github.com/opencontainers/image-spec/blob/main/image-layout.md.
"""

from __future__ import annotations

import json
import tarfile
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Change, Outcome, command
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import ABSENT

CTR = ["/opt/containerd/bin/ctr", "--namespace", "k8s.io"]
NAME = "io.containerd.image.name"
#: An image with this label is not removed by kubelet when it wants room. Source: containerd's pkg/cri/labels.
PINNED = "io.cri-containerd.pinned=pinned"


def image_in(archive: str) -> tuple[str, str]:
    """Name and digest of the one image in an archive. InputError for what is no such archive."""
    try:
        with tarfile.open(archive) as tar:
            stream = tar.extractfile("index.json")
            index = json.loads(stream.read()) if stream else {}
        manifest = index["manifests"][0]
        return str(manifest["annotations"][NAME]), str(manifest["digest"])
    except (OSError, tarfile.TarError, ValueError, KeyError, IndexError, TypeError) as exc:
        raise InputError(
            f"{archive} is not an archive of a named container image: {exc}",
            hint="give an artefact image-* of the catalogue",
        ) from exc


def present_images(listing: str) -> dict[str, str]:
    """Name -> digest, of what ``ctr images ls`` prints. Its columns are REF, TYPE, DIGEST and others."""
    rows = [line.split() for line in listing.splitlines()[1:]]
    return {row[0]: row[2] for row in rows if len(row) > 2}


def present(call: Call) -> Outcome:
    """Import what containerd does not have, or has with other content."""
    wanted = {archive: image_in(archive) for archive in call.params["archives"]}
    try:
        have = present_images(command([*CTR, "images", "ls"], timeout=30))
    except ConvergeError:
        if not call.check:
            raise
        # In check mode containerd may not be there yet.
        have = {}
    missing = {archive: image for archive, image in wanted.items() if have.get(image[0]) != image[1]}
    outcome = Outcome(values={"imported": sorted(name for name, _ in missing.values())})
    outcome.changes = [Change(f"image {name}", have.get(name, ABSENT), digest) for name, digest in missing.values()]
    if not call.check:
        # Side by side: what one spends unpacking, another spends writing.
        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(_import, missing, (name for name, _ in missing.values())))
        names = sorted(name for name, _ in wanted.values())
        listing = [*CTR, "images", "ls", "--quiet", *(f"name=={name}" for name in names)]
        probe = {"name": "container images", "argv": listing, "stdout": "\n".join(names), "timeout": 5}
        call.record({"probes": [probe]} if names else None)
    return outcome


def _import(archive: str, name: str) -> None:
    command([*CTR, "images", "import", "--local", archive], what=f"image {name} cannot be imported")
    command([*CTR, "images", "label", name, PINNED], what=f"image {name} cannot be kept")


def absent(call: Call) -> Outcome:
    """Remove the images that the section imported, with all they took; containers that use one keep it alive."""
    names = [
        name for record in call.manifest.records(call.key, "probes").values() for name in record["stdout"].splitlines()
    ]
    if not call.check:
        have = present_images(command([*CTR, "images", "ls"], check=False, timeout=30)) if names else {}
        ours = {have[name] for name in names if name in have}
        # The part of containerd that serves kubelet names each image by a digest, too.
        if every := sorted(name for name, digest in have.items() if digest in ours):
            command([*CTR, "images", "remove", "--sync", *every], check=False, timeout=120)
        call.record(None)
    return Outcome(changes=[Change(f"image {name}", "present", ABSENT) for name in names])
