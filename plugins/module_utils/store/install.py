# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: artefacts on a host: links to the mounted store, or to trees of the host's own.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Change, Outcome
from ansible_collections.labctl.stacks.plugins.module_utils.errors import (
    ConvergeError,
    InputError,
    LabError,
    PreflightError,
)
from ansible_collections.labctl.stacks.plugins.module_utils.fileops import check_path, look, opened_folder, restore
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import ABSENT
from ansible_collections.labctl.stacks.plugins.module_utils.store import share
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import (
    listing_digest,
    read_tree,
    sizes_in,
    tree_digest,
)
from ansible_collections.labctl.stacks.plugins.module_utils.store.unpack import unpack_tree

#: Where pushed trees live on a host.
TREES = Path("/opt/labctl")
DRAFT = ".new-"


def fault(tree: Path, expected: dict[str, Any]) -> str:
    """What a look at names and sizes finds wrong with a tree; "" for nothing. Reads no file's content."""
    if not tree.is_dir():
        return "is not there"
    sizes = sizes_in(tree)
    if listing_digest(sizes) == expected["listing"]:
        return ""
    have = f"{len(sizes)} files, {sum(sizes.values())} bytes"
    return f"is not complete or not as it was: {have} instead of {expected['files']} files, {expected['bytes']} bytes"


@dataclass(frozen=True)
class Item:
    """An artefact that is wanted: its link's ``path``, and ``target``, where its tree is or is to be.

    ``wrong`` is what a look found wrong with the tree, ``before`` what stands at the path: "absent", or the link's
    target.
    """

    name: str
    path: str
    target: Path
    tree: dict[str, Any]
    wrong: str
    before: str

    @property
    def pushed(self) -> bool:
        """Whether the tree is the host's own."""
        return self.target.parent == TREES

    @property
    def missing(self) -> bool:
        """Whether the host must be brought the tree."""
        return self.pushed and self.wrong != ""

    @property
    def unpacking(self) -> Change:
        return Change(str(self.target), self.wrong if self.target.exists() else ABSENT, "unpacked")

    def record(self) -> dict[str, Any]:
        """The record of the tree."""
        kept = {key: self.tree[key] for key in ("digest", "listing", "version")}
        return {"path": str(self.target), "pushed": self.pushed, "name": self.name, **kept}


def present(call: Call) -> Outcome:
    """Have the artefacts at their paths, all of them or, for the links, none.

    Where trees must be brought first, ``needs`` of the outcome are their names, and only the one that came along by
    ``bring`` is put in place.
    """
    options = call.params["artifacts"]
    for key in ("name", "path"):
        given = [option[key] for option in options]
        if twice := [value for value in given if given.count(value) > 1]:
            raise InputError(f"{twice[0]} is listed twice", hint="List it once, or in a call with another part.")
    return _converge(call, [_item(call, option) for option in options])


def _item(call: Call, option: dict[str, Any]) -> Item:
    """An artefact, and a look at what there is of it. PreflightError for what is not ours to mend."""
    name, path, store = option["name"], str(option["path"]), call.params["store"]
    tree = call.params["trees"][name]
    check_path(path)
    target = (
        Path(store, "trees", tree["digest"]) if store else TREES / f"{name}-{tree['version']}-{tree['digest'][:12]}"
    )
    found = look(path)
    if found is not None and found.kind != "link":
        raise PreflightError(
            f"{path} is there and is a {found.kind}, not a link of ours",
            hint="Move it out of the way, or give another path.",
        )
    wrong = fault(target, tree) if tree["digest"] else "is not known before it is fetched"
    if wrong and store and not call.check:
        raise PreflightError(
            f"{target}, which the store mounted on this host should show, {wrong}",
            hint="Mount the controller's store read-only there, or unset labctl_store to have the files sent.",
        )
    return Item(name, path, target, tree, wrong, found.target if found else ABSENT)


def _converge(call: Call, items: list[Item]) -> Outcome:
    """Make exactly these artefacts the section's."""
    missing = [item for item in items if item.missing]
    linking = [Change(item.path, item.before, str(item.target)) for item in items if item.before != str(item.target)]
    links, trees = _leaving(call, items)
    linking += [Change(link["path"], link["target"], ABSENT) for link in links]
    linking += [Change(tree["path"], "unpacked", ABSENT) for tree in trees]
    if call.check:
        fetching = [
            Change(f"{item.name} {item.tree['version']}", "not in the store", "would fetch")
            for item in items
            if item.tree["fetch"]
        ]
        return Outcome([*fetching, *(item.unpacking for item in missing), *linking], _values(items))
    bring = call.params.get("bring") or {}
    brought = next((item for item in missing if item.name == bring.get("name")), None)
    if missing and not brought:
        return Outcome(values={"needs": [item.name for item in missing]})
    records = _intend(call, items)
    outcome = Outcome()
    if brought:
        outcome = _bring(bring, brought)
        needs = [item.name for item in missing if item is not brought or "needs" in outcome.values]
        if needs:
            outcome.values["needs"] = needs
            return outcome
    for item in items:
        if item.before != str(item.target):
            _link(item.path, str(item.target))
    _drop(call, links, trees)
    call.record(records)
    outcome.changes += linking
    outcome.values.update(_values(items))
    return outcome


def _values(items: list[Item]) -> dict[str, Any]:
    told = ("version", "digest", "source")
    return {"artifacts": {item.name: {"path": item.path, **{key: item.tree[key] for key in told}} for item in items}}


def _intend(call: Call, items: list[Item]) -> dict[str, Any]:
    """Record what is about to be made beside what there is, so that a run that dies in between can still be undone.

    What to record once it is made.
    """
    links: dict[str, Any] = {}
    trees = {str(item.target): item.record() for item in items}
    for item in items:
        observed = ABSENT if item.before == ABSENT else {"kind": "link", "target": item.before}
        before = call.manifest.before(call.key, "links", item.path, observed)
        links[item.path] = {"path": item.path, "target": str(item.target), "before": before}
    all_links = {**call.manifest.records(call.key, "links"), **links}
    all_trees = {**call.manifest.records(call.key, "trees"), **trees}
    call.record({"links": [*all_links.values()], "trees": [*all_trees.values()]})
    return {"links": [*links.values()], "trees": [*trees.values()]}


def _bring(bring: dict[str, Any], item: Item) -> Outcome:
    """Put a tree in place, from the tar that was sent or from a peer's, and share it where that is asked for.

    ``needs`` of the outcome, with a warning, where a peer cannot be reached, ends in the middle, or sends what is not
    it.
    """
    outcome = Outcome([item.unpacking])
    TREES.mkdir(mode=0o755, exist_ok=True)
    TREES.chmod(0o755)
    for stale in TREES.glob(f"{DRAFT}*"):
        shutil.rmtree(stale)
    if not bring["archive"]:
        try:
            _fetch(bring["peer"], item)
        except (LabError, OSError) as exc:
            warning = f"{item.name}: another host could not hand it on: {exc}"
            return Outcome(values={"needs": [item.name]}, warnings=[warning])
        return outcome
    _unpack(Path(bring["archive"]), item.target, item.tree["digest"])
    # Not at the end of the task only: a host may be brought many.
    Path(bring["archive"]).unlink()
    if bring["share"]:
        try:
            outcome.values["shared"] = share.start(item.target, bring["share"]["address"], bring["share"]["token"])
        except (LabError, OSError) as exc:
            # The others have the controller.
            outcome.warnings.append(f"{item.name}: the other hosts cannot get it from this one: {exc}")
    return outcome


def _fetch(peer: str, item: Item) -> None:
    draft = TREES / f"{DRAFT}{secrets.token_hex(4)}"
    draft.mkdir(mode=0o700)
    try:
        # A tar adds a header or two for each file, and fills up its last block.
        share.fetch(peer, draft / "peer.tar", item.tree["bytes"] + 4096 * (item.tree["files"] + 10))
        _unpack(draft / "peer.tar", item.target, item.tree["digest"])
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _unpack(archive: Path, target: Path, digest: str) -> None:
    """Lay the tar out beside the target, look at every byte, and only then put it in place."""
    draft = TREES / f"{DRAFT}{secrets.token_hex(4)}"
    draft.mkdir(mode=0o755)
    draft.chmod(0o755)
    try:
        unpack_tree(archive, draft)
        found = tree_digest(read_tree(draft))
        if found != digest:
            raise ConvergeError(
                f"what arrived on this host is not what was sent: tree {found} instead of {digest}",
                hint="Run it again; if it stays, the host's disk or memory is damaged.",
            )
        if target.exists():
            target.rename(draft.with_name(f"{DRAFT}old-{secrets.token_hex(4)}"))
        draft.rename(target)
    finally:
        for rest in TREES.glob(f"{DRAFT}*"):
            shutil.rmtree(rest, ignore_errors=True)


def _link(path: str, target: str) -> None:
    """Put a link in place at once: whoever follows it meets the old tree or the new one."""
    where = Path(path)
    draft = f".labctl.{secrets.token_hex(4)}.{where.name}"
    try:
        with opened_folder(where.parent) as parent:
            os.symlink(target, draft, dir_fd=parent)
            os.rename(draft, where.name, src_dir_fd=parent, dst_dir_fd=parent)
    except FileNotFoundError:
        raise InputError(f"{path}: its folder is not there", hint="Make it with the system module first.") from None


def absent(call: Call) -> Outcome:
    """Undo the section: the links, where they are still links, and trees of the host's own that no other needs."""
    if not call.check and any(tree["pushed"] for tree in call.manifest.records(call.key, "trees").values()):
        share.stop_all()
    return _converge(call, [])


def _leaving(call: Call, items: list[Item]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The section's links and pushed trees that stand there and that neither it nor another wants any more.

    ``target`` of a link is what it is now.
    """
    links: list[dict[str, Any]] = []
    trees: list[dict[str, Any]] = []
    paths, targets = {item.path for item in items}, {str(item.target) for item in items}
    for path, link in call.manifest.records(call.key, "links").items():
        found = None if path in paths else look(path)
        if found and found.kind == "link" and not call.manifest.owners("links", path, excluding=call.key):
            links.append({**link, "target": found.target})
    for path, tree in call.manifest.records(call.key, "trees").items():
        ours = tree["pushed"] and Path(path).parent == TREES and path not in targets
        if ours and Path(path).exists() and not call.manifest.owners("trees", path, excluding=call.key):
            trees.append(tree)
    return links, trees


def _drop(call: Call, links: list[dict[str, Any]], trees: list[dict[str, Any]]) -> None:
    for link in links:
        restore(link["path"], link["before"], call.manifest.root / "backup")
    for tree in trees:
        with suppress(FileNotFoundError):
            shutil.rmtree(tree["path"])
    with suppress(OSError):
        TREES.rmdir()
