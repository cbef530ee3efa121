# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab keeps to, and moving it: the lab's lock as data, and its upgrade."""

from __future__ import annotations

from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.lablock import LabLock, rows

from labctl.lab import artifacts
from labctl.lab.events import Listener


def shown(lab: Lab) -> list[dict[str, str]]:
    """Each locked version with its digest and the catalogue's default; and what is needed and not locked yet."""
    from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue, names

    store = artifacts.store_of(lab)
    known = names(store.folders)

    def newest(name: str) -> str:
        return catalogue(name, folders=store.folders).version if name in known else ""

    locked = LabLock(lab.spec.parent).read()
    found = [
        {"name": name, "version": version, "arch": arch, "digest": digest, "catalogue": newest(name)}
        for name, version, arch, digest in rows(locked)
    ]
    for name in artifacts.needed(lab):
        if name not in locked:
            found.append({"name": name, "version": "", "arch": "", "digest": "", "catalogue": newest(name)})
    return found


def upgrade(lab: Lab, words: list[str], tell: Listener, *, accept_unpinned: bool = False) -> list[dict[str, str]]:
    """Lock other versions, each NAME (the catalogue's default) or NAME=VERSION; all that is locked or needed, without.

    Fetches them, since only then all their digests are known; what moved, as name, before and after.
    """
    lock = LabLock(lab.spec.parent)
    before = lock.read()
    store = artifacts.store_of(lab, accept_unpinned=accept_unpinned)
    wanted = artifacts.named(words or dict.fromkeys([*before, *artifacts.needed(lab)]), store)
    found = artifacts.fetch(wanted, tell, store)
    new = [(one.name, one.version, one.arch, two.digest) for one, two in zip(wanted, found, strict=True)]
    lock.record(new, anew={name for name, *_ in new})
    if not words:
        lock.record_image(None)  # the next host that is made brings the current one
        if lab.provider.type == "nspawn":
            from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import image

            image.forget(image.recipe_for(lab.provider.image, lab.stacks))
    store.remember_lab(lock.path)
    return [
        {"name": name, "before": _text(before.get(name, {})), "after": _text(versions)}
        for name, versions in lock.read().items()
        if before.get(name) != versions
    ]


def _text(versions: dict[str, dict[str, str]]) -> str:
    return ", ".join(
        f"{version} ({', '.join(digest[:12] for digest in digests.values())})" for version, digests in versions.items()
    )
