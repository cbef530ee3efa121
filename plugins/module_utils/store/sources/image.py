# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: container images as one archive, made of other artefacts, or pulled from a registry.

Whichever way, the tree is one file, ``image.tar``, with the image under a name of our own. What we build never goes by
its vendor's name: nobody shall take it for the vendor's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ...errors import PreflightError
from .. import crane, deblayer, oci
from ..debs import INDEX
from ..digests import UNPINNED
from ..disk import make_folder
from ..tree import Entry
from .base import Job, Source, Where

ARCHIVE = "image.tar"
#: Goes up when the same entry gives other bytes than before, so that what is in stores is made anew.
_FORMAT = 1
_REPOSITORY = re.compile(r"localhost/labctl/[a-z0-9]+([._-][a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_PULLED = re.compile(r"[a-z0-9.-]+\.[a-z]+(/[a-z0-9._-]+)+:[A-Za-z0-9._-]+")
#: What every image has, so that names of users resolve and programs find a folder for what passes.
_ACCOUNTS = {
    "etc/passwd": b"root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n",
    "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files dns\n",
}


@dataclass(frozen=True)
class Part:
    """Another artefact of the catalogue, and what is used of it: files (path there, path in the image) or packages."""

    artifact: str
    version: str
    files: tuple[tuple[str, str], ...] = ()
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageSource(Source):
    """An image, built of ``parts`` on a layer of packages from ``debian``; or, where ``pull`` is set, pulled."""

    name: ClassVar[str] = "image"

    reference: str
    parts: tuple[Part, ...] = ()
    debian: Part | None = None
    links: tuple[tuple[str, str], ...] = ()
    settings: oci.Settings = oci.Settings()  # noqa: RUF009 - immutable
    pull: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, fields: Any, where: Where) -> ImageSource:
        """``repository``, ``tag``, and either ``pull`` or ``from`` with how it is started."""
        item = where.keys(
            fields,
            "image",
            required={"repository", "tag"},
            optional={"from", "debian", "links", "entrypoint", "cmd", "env", "user", "labels", "pull"},
        )
        repository, tag = (where.string(item[key], f"image.{key}") for key in ("repository", "tag"))
        if not _REPOSITORY.fullmatch(repository) or not _TAG.fullmatch(tag):
            raise where.error(f"image: {repository}:{tag} is not localhost/labctl/<name>:<tag>")
        if ("pull" in item) == ("from" in item):
            raise where.error("image needs either from or pull")
        if "pull" in item:
            if extra := item.keys() - {"repository", "tag", "pull"}:
                raise where.error(f"image: {sorted(extra)[0]} does not go with pull")
            pull = where.keys(item["pull"], "image.pull", required={"reference", "digest"})
            if not _PULLED.fullmatch(where.string(pull["reference"], "image.pull.reference")):
                raise where.error(f"image.pull.reference must be registry/name:tag, not {pull['reference']!r}")
            if not re.fullmatch(r"sha256:[0-9a-f]{64}|" + UNPINNED, str(pull["digest"])):
                raise where.error(f"image.pull.digest must be sha256:<hex> or {UNPINNED}, not {pull['digest']!r}")
            return cls(where, f"{repository}:{tag}", pull=pull["reference"], digest=pull["digest"])
        if not isinstance(item["from"], list):
            raise where.error("image.from must be a list")
        settings = oci.Settings(
            entrypoint=where.strings(item.get("entrypoint", []), "image.entrypoint"),
            cmd=where.strings(item.get("cmd", []), "image.cmd"),
            env=where.strings(item.get("env", []), "image.env"),
            user=item.get("user", ""),
            labels={
                "org.opencontainers.image.title": where.name,
                "org.opencontainers.image.version": where.version,
                "org.opencontainers.image.licenses": where.licence,
                "org.opencontainers.image.vendor": "labctl",
                **where.mapping(item.get("labels", {}), "image.labels"),
            },
        )
        return cls(
            where,
            f"{repository}:{tag}",
            parts=tuple(_part(part, where) for part in item["from"]),
            debian=_packages(item["debian"], where) if "debian" in item else None,
            links=tuple(sorted(where.mapping(item.get("links", {}), "image.links").items())),
            settings=settings,
        )

    def others(self) -> list[Part]:
        """The artefacts it is made of."""
        return [*self.parts, *((self.debian,) if self.debian else ())]

    @property
    def key(self) -> str:
        """What is in it, and what that is made of."""
        if self.pull:
            return hashlib.sha256(repr((self.reference, self.pull, self.digest, self.where.arch)).encode()).hexdigest()
        made_of = [source.key for part in self.others() for source in self._entry(part).sources]
        content = (_FORMAT, self.reference, self.where.arch, self.parts, self.debian, self.links, made_of)
        started = oci.as_json(self.settings.config(self.where.arch, []))
        return hashlib.sha256(repr(content).encode() + started).hexdigest()

    def _entry(self, part: Part) -> Any:
        # The catalogue reads sources, and this one reads the catalogue.
        from ..catalogue import FOLDER, catalogue

        folders = tuple(dict.fromkeys((self.where.file.parent, FOLDER)))
        return catalogue(part.artifact, part.version, folders=folders, arch=self.where.arch)

    def fetch(self, job: Job) -> list[Entry]:
        """Make the archive. Raises PreflightError where a part of it cannot be had."""
        if self.where.arch not in oci.ARCHITECTURES:
            raise PreflightError(f"there are no images for {self.where.arch}")
        image = self._pulled(job) if self.pull else self._built(job)
        job.progress(f"writing {self.reference}", 0, 0)
        path = job.work / ARCHIVE
        with path.open("wb") as out:
            oci.write_archive(out, self.reference, self.where.arch, image)
        with path.open("rb") as stream:
            sha256, size = job.blobs.add_stream(stream)
        return [Entry(ARCHIVE, 0o444, size, sha256)]

    def _pulled(self, job: Job) -> tuple[oci.Blob, oci.Blob, list[oci.Blob]]:
        job.check_pinned(self.digest)
        folder = make_folder(job.work / "pulled")
        return crane.pull(crane.program(job), self.pull, self.digest, self.where.arch, folder, job.progress)

    def _built(self, job: Job) -> tuple[oci.Blob, oci.Blob, list[oci.Blob]]:
        layers = []
        if self.debian:
            base, work = oci.Layer(), make_folder(job.work / "debian")
            root = job.resolve(self.debian.artifact, self.debian.version).path
            names = deblayer.closure((root / INDEX).read_text(), self.debian.packages)
            job.progress(f"unpacking {len(names)} Debian packages", 0, 0)
            deblayer.unpack([root / name for name in names], base, work)
            layers.append(self._layer(base, job.work / "base.tar"))
        top = oci.Layer()
        for path, content in _ACCOUNTS.items():
            top.file(path, content)
        top.folder("tmp", 0o1777)
        for part in self.parts:
            resolved = job.resolve(part.artifact, part.version)
            for source, target in part.files:
                if not (resolved.path / source).is_file():
                    raise PreflightError(f"{part.artifact} {resolved.version} has no {source}")
                top.file(target, resolved.path / source, 0o755)
        for path, target in self.links:
            top.link(path, target)
        layers.append(self._layer(top, job.work / "top.tar"))
        return oci.assemble(layers, self.settings, self.where.arch)

    def _layer(self, layer: oci.Layer, path: Path) -> Path:
        layer.write(path)
        return path

    def inputs(self) -> list[Mapping[str, str]]:
        """What its parts are made of, and the parts; or the image that is pulled."""
        if self.pull:
            name, _, tag = self.pull.rpartition(":")
            purl = f"pkg:oci/{name.rsplit('/', 1)[-1]}@{self.digest}?repository_url={name}&tag={tag}"
            return [{"name": name, "version": tag, "licence": "", "purl": purl, "digest": self.digest}]
        found: list[Mapping[str, str]] = []
        for part in self.others():
            entry = self._entry(part)
            purl = f"pkg:generic/{entry.name}@{entry.version}"
            found.append(
                {"name": entry.name, "version": entry.version, "licence": entry.licence, "purl": purl, "digest": ""}
            )
            found += entry.sources[0].inputs()
        return found


def _part(item: Any, where: Where) -> Part:
    fields = where.keys(item, "image.from", required={"artifact", "version", "files"})
    files = where.mapping(fields["files"], "image.from.files")
    artifact, version = (where.string(fields[key], f"image.from.{key}") for key in ("artifact", "version"))
    return Part(artifact, version, files=tuple(sorted(files.items())))


def _packages(item: Any, where: Where) -> Part:
    fields = where.keys(item, "image.debian", required={"artifact", "version", "packages"})
    artifact, version = (where.string(fields[key], f"image.debian.{key}") for key in ("artifact", "version"))
    return Part(artifact, version, packages=where.strings(fields["packages"], "image.debian.packages"))
