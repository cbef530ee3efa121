# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: container images as one file, whose bytes depend on what is in the image alone.

The file is an OCI image layout (https://github.com/opencontainers/image-spec, image-layout.md) and, by a manifest.json
beside it, what ``docker load`` reads; so containerd, Docker and Podman all take it. Layers are not compressed: gzip's
bytes differ between versions of its library, and hosts would spend more on inflating than on reading.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..errors import PreflightError
from .tree import plain_path, sha256_file

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
#: Architectures as uname names them -> as images do.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
EPOCH = "1970-01-01T00:00:00Z"


class Node(NamedTuple):
    """Something in a layer: a folder (neither), a file (``content``: its bytes, or where they are), or a link."""

    mode: int
    content: bytes | Path | None = None
    link: str = ""


class Layer:
    """A file system to be, all of it root's and without times. Paths are relative, parents are made as needed."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def folder(self, path: str, mode: int = 0o755) -> None:
        """A folder; one that is there gets the mode."""
        self.put(path, Node(mode))

    def file(self, path: str, content: bytes | Path, mode: int = 0o644) -> None:
        """A file; a Path is read when the layer is written. setuid and setgid are dropped."""
        self.put(path, Node(mode & 0o777, content))

    def link(self, path: str, target: str) -> None:
        """A symbolic link."""
        self.put(path, Node(0o777, link=target))

    def put(self, path: str, node: Node) -> None:
        """Any of these. PreflightError where one thing would lie below another that is no folder."""
        path = plain_path(path)
        there = self.nodes.get(path)
        if there is not None and _is_folder(there) != _is_folder(node):
            raise PreflightError(f"an image cannot have {path} as a folder and as something else")
        for parent in [folder.as_posix() for folder in Path(path).parents][:-1]:
            if not _is_folder(self.nodes.setdefault(parent, Node(0o755))):
                raise PreflightError(f"an image cannot have {path}: {parent} is not a folder")
        self.nodes[path] = node

    def write(self, out: Path) -> None:
        """The layer as a tar."""
        with out.open("wb") as stream:
            _write(stream, self.nodes)


def _write(out: BinaryIO, nodes: Mapping[str, Node]) -> None:
    """A tar of these: sorted, no times, no owners."""
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, node in sorted(nodes.items()):
            info = tarfile.TarInfo(path)
            info.mode = node.mode
            if node.link:
                info.type, info.linkname = tarfile.SYMTYPE, node.link
                tar.addfile(info)
            elif node.content is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            elif isinstance(node.content, bytes):
                info.size = len(node.content)
                tar.addfile(info, io.BytesIO(node.content))
            else:
                info.size = node.content.stat().st_size
                with node.content.open("rb") as stream:
                    tar.addfile(info, stream)


def _is_folder(node: Node) -> bool:
    return node.content is None and not node.link


@dataclass(frozen=True)
class Settings:
    """How a container of the image is started. ``user`` is empty for root."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def config(self, arch: str, layers: Iterable[str]) -> dict[str, Any]:
        """The image's configuration, for layers of these sha256. Source: image-spec, config.md."""
        started = {
            "User": self.user,
            "Env": list(self.env),
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "WorkingDir": "/",
            "Labels": dict(sorted(self.labels.items())),
        }
        digests = [f"sha256:{digest}" for digest in layers]
        return {
            "created": EPOCH,
            "architecture": ARCHITECTURES[arch],
            "os": "linux",
            "config": {key: value for key, value in started.items() if value},
            "rootfs": {"type": "layers", "diff_ids": digests},
            "history": [{"created": EPOCH, "created_by": "labctl"} for _ in digests],
        }


class Blob(NamedTuple):
    """A part of an archive: its kind, its sha256, its size, and its bytes or where they are."""

    kind: str
    sha256: str
    size: int
    content: bytes | Path

    @property
    def descriptor(self) -> dict[str, Any]:
        """What stands for it in another part."""
        return {"mediaType": self.kind, "digest": f"sha256:{self.sha256}", "size": self.size}

    @property
    def path(self) -> str:
        """Where it lies in the archive."""
        return f"blobs/sha256/{self.sha256}"


def blob(kind: str, content: bytes | Path) -> Blob:
    """A blob of this content."""
    if isinstance(content, bytes):
        return Blob(kind, hashlib.sha256(content).hexdigest(), len(content), content)
    return Blob(kind, sha256_file(content), content.stat().st_size, content)


def as_json(document: object) -> bytes:
    """The one way we write JSON."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def assemble(layers: Iterable[Path], settings: Settings, arch: str) -> tuple[Blob, Blob, list[Blob]]:
    """Manifest, configuration and layers of an image."""
    parts = [blob(LAYER, path) for path in layers]
    config = blob(CONFIG, as_json(settings.config(arch, [part.sha256 for part in parts])))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor,
        "layers": [part.descriptor for part in parts],
    }
    return blob(MANIFEST, as_json(manifest)), config, parts


def write_archive(out: BinaryIO, reference: str, arch: str, image: tuple[Blob, Blob, list[Blob]]) -> None:
    """An image as one file, under ``repository:tag``."""
    manifest, config, layers = image
    names = {
        # containerd reads the first, the image-spec's tools the second.
        "io.containerd.image.name": full_reference(reference),
        "org.opencontainers.image.ref.name": reference,
    }
    platform = {"architecture": ARCHITECTURES[arch], "os": "linux"}
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{**manifest.descriptor, "annotations": names, "platform": platform}],
    }
    docker = [{"Config": config.path, "RepoTags": [reference], "Layers": [layer.path for layer in layers]}]
    files: dict[str, bytes | Path] = {
        "oci-layout": as_json({"imageLayoutVersion": "1.0.0"}),
        "index.json": as_json(index),
        "manifest.json": as_json(docker),
        **{part.path: part.content for part in (manifest, config, *layers)},
    }
    archive = Layer()
    for path, content in files.items():
        archive.file(path, content)
    _write(out, archive.nodes)


def full_reference(reference: str) -> str:
    """A reference with its registry spelt out, as containerd stores it: without one, Docker's is meant."""
    first = reference.split("/", 1)[0]
    named = "/" in reference and ("." in first or ":" in first or first == "localhost")
    return reference if named else f"docker.io/{'' if '/' in reference else 'library/'}{reference}"
