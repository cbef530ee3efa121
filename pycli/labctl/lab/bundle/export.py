# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into a lab's bundle: everything that making its hosts and converging its stacks takes."""

from __future__ import annotations

import contextlib
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ansible_collections.labctl.stacks.plugins.module_utils.errors import Finding, InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.lablock import LabLock
from ansible_collections.labctl.stacks.plugins.module_utils.stacks import STACKS

from labctl.lab import artifacts as catalogue
from labctl.lab.bundle import index as format_
from labctl.lab.bundle import keys, wheels
from labctl.lab.bundle.write import Opener, member_of, unique, write
from labctl.lab.events import Event, Listener
from labctl.lab.locate import find_lab, find_spec, is_default, write_default

if TYPE_CHECKING:
    from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import Artifact
    from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Resolved, Store


@dataclass(frozen=True)
class Exported:
    """A bundle that was written: the digest of its index, what is in it, and its bytes."""

    digest: str
    index: format_.Index
    size: int


@dataclass
class _Parts:
    """What was gathered so far."""

    artifacts: list[format_.Artifact] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    members: list[format_.Member] = field(default_factory=list)
    opened: dict[str, Opener] = field(default_factory=dict)

    def file(self, path: str, file: Path) -> None:
        """Add a file as it stands on disk."""
        self.members.append(member_of(path, file))
        self.opened[path] = lambda: file.open("rb")


@contextlib.contextmanager
def lab_of(word: str, here: Path) -> Iterator[Lab]:
    """The lab that a folder, a lab file or a stack's name stands for.

    A stack means the lab in ``here`` where that runs it, else the stack's default lab, which is not left anywhere.
    """
    if word not in STACKS or Path(word).exists():
        if not Path(word).exists():
            raise InputError(f"there is no lab {word}", hint=f"name a lab's folder, or a stack: {', '.join(STACKS)}")
        yield find_lab(Path(word))
        return
    if find_spec(here) is not None and word in (lab := find_lab(here)).stacks:
        yield lab
        return
    with tempfile.TemporaryDirectory(prefix="labctl-") as folder:
        yield find_lab(write_default(Path(folder), word))


def export(lab: Lab, target: Path, tell: Listener, *, key: Path | None = None) -> Exported:
    """Write the lab's bundle to ``target``. What is missing in the store is fetched first.

    The same lab with the same lock gives the same bytes. PreflightError for what cannot be had.
    """
    if target.is_dir():
        raise InputError(f"{target} is a folder", hint="name the file to write: -o lab.bundle")
    store, parts = catalogue.store_of(lab), _Parts()
    with tempfile.TemporaryDirectory(prefix="labctl-") as folder:
        tell(Event("phase", "bundle", "gathering what the lab needs"))
        _artifacts(lab, store, parts, tell)
        _image(lab, store, parts, tell)
        tell(Event("artifact", "labctl", "its own wheel"))
        own = wheels.own_wheel(Path(folder))
        parts.file(f"wheels/{own.name}", own)
        _lab_files(lab, parts)
        index = format_.Index(
            labctl=metadata.version("labctl"),
            lab=lab.name,
            default=is_default(lab),
            arch=platform.machine(),
            python=wheels.tag(),
            artifacts=tuple(sorted(parts.artifacts, key=lambda one: (one.name, one.version, one.key))),
            images=tuple(parts.images),
            members=unique(parts.members),
        )
        sign = (lambda raw: keys.sign(raw, key)) if key else None
        raw = write(
            target, index, parts.opened, sign=sign,
            progress=lambda done, total: tell(Event("artifact", "bundle", "writing", done=done, total=total)),
        )  # fmt: skip
    return Exported(format_.digest_of(raw), index, target.stat().st_size)


def _artifacts(lab: Lab, store: Store, parts: _Parts, tell: Listener) -> None:
    """Add what the lab's stacks install, as the lab has it locked; what was not locked yet is, by this."""
    lock = LabLock(lab.spec.parent)
    wanted = [lock.wanted(name, None, store) for name in catalogue.needed(lab)]
    found = catalogue.fetch([*wanted, wheels.wheels()], tell, store, lock=lock)
    lock.record([(one.name, one.version, one.arch, two.digest) for one, two in zip(wanted, found, strict=False)])
    for artifact, resolved in zip([*wanted, wheels.wheels()], found, strict=True):
        _add(artifact, resolved, store, parts)


def _add(artifact: Artifact, found: Resolved, store: Store, parts: _Parts) -> None:
    """Add an artefact with its files; those of wheels under their names, for pip."""
    source = next(source for source in artifact.sources if source.name == found.origin)
    for entry in found.entries:
        blob = store.root / "blobs" / "sha256" / entry.sha256[:2] / entry.sha256
        if artifact.name == wheels.ARTIFACT:
            path = f"wheels/{entry.path}"
        else:
            path = f"blobs/sha256/{entry.sha256[:2]}/{entry.sha256}"
        parts.members.append(format_.Member(path, entry.size, entry.sha256))
        parts.opened[path] = lambda blob=blob: blob.open("rb")  # type: ignore[misc]
    parts.artifacts.append(
        format_.Artifact(
            artifact.name, artifact.version, artifact.arch, source.key, source.entries() is None, found.digest,
            found.entries,
        )
    )  # fmt: skip


def _image(lab: Lab, store: Store, parts: _Parts, tell: Listener) -> None:
    """Add the base image of the lab's hosts, as a tar and as the packages it is made of."""
    if lab.provider.type != "nspawn":
        return
    from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import image, image_tar, preflight

    if findings := preflight.machine():
        raise PreflightError("the hosts' image cannot be read", hint=findings[0].mend, findings=tuple(findings))
    recipe = image.recipe_for(lab.provider.image, lab.stacks)
    if image.must_build(recipe, image.lock_of(lab)) and (findings := preflight.programs(build=True)):
        raise PreflightError("the hosts' image cannot be built here", findings=tuple(findings))
    made = image.of_lab(lab, lambda host, step: tell(Event("host", "image", step)))
    packages = recipe.set_of(made.files)
    title = f"packages of {recipe.image}"
    found = store.resolve(
        packages, lambda step, done, total: tell(Event("artifact", title, step, done=done, total=total))
    )
    _add(packages, found, store, parts)
    # On a machine without a lock for it, the set goes by what was asked for.
    asked = recipe.set_of()
    parts.artifacts.append(
        format_.Artifact(asked.name, asked.version, asked.arch, asked.sources[0].key, True, found.digest, found.entries)
    )
    parts.images.append(made.to_dict())
    path = f"blobs/sha256/{made.digest[:2]}/{made.digest}"
    parts.members.append(format_.Member(path, made.size, made.digest))

    @contextlib.contextmanager
    def tar() -> Iterator[BinaryIO]:
        with image_tar.stream(image.path_of(made.digest)) as stream:
            yield stream

    parts.opened[path] = tar


def _lab_files(lab: Lab, parts: _Parts) -> None:
    """Add the lab's file and lock, and what users put beside them; links are refused, as they lead elsewhere."""
    folder = lab.spec.parent
    named = (
        {folder / name: name for name in ("lab.lock", "site.yml", lab.inventory.name)} if not is_default(lab) else {}
    )
    paths = {lab.spec: "lab.yml", folder / "lab.lock": "lab.lock", **named}
    for top in format_.LAB_FOLDERS if not is_default(lab) else ():
        paths |= {path: path.relative_to(folder).as_posix() for path in sorted((folder / top).rglob("*"))}
    links = [Finding(str(path), "is a link") for path in paths if path.is_symlink()]
    if links:
        raise InputError("a bundle holds no links", hint="put the files themselves there", findings=tuple(links))
    for path, name in paths.items():
        if path.is_file() and not any(part.startswith(".") for part in name.split("/")):
            parts.file(f"lab/{name}", path)
