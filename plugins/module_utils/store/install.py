# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: an artefact on a host: a link to the mounted store, or a tree of the host's own.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
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


def present(call: Call) -> Outcome:
    """Have the artefact at ``path``. Where its tar is needed and was not sent along, nothing but ``needs_archive``."""
    options, tree = call.params, call.params["tree"]
    path = str(options["path"])
    check_path(path)
    pushed = not options["store"]
    target = TREES / f"{options['name']}-{options['version']}-{tree['digest'][:12]}" if pushed else Path(
        options["store"], "trees", tree["digest"]
    )  # fmt: skip
    found = look(path)
    if found is not None and found.kind != "link":
        raise PreflightError(
            f"{path} is there and is a {found.kind}, not a link of ours",
            hint="Move it out of the way, or give another path.",
        )
    wrong = fault(target, tree) if tree["digest"] else "is not known before it is fetched"
    values = {"digest": tree["digest"], "source": options["source"], "path": path, "version": options["version"]}
    outcome = Outcome(values=values)
    if tree["fetch"]:
        outcome.changes.append(Change(f"{options['name']} {options['version']}", "not in the store", "would fetch"))
    if wrong and pushed:
        outcome.changes.append(Change(str(target), ABSENT if not target.exists() else wrong, "unpacked"))
    elif wrong and not call.check:
        raise PreflightError(
            f"{target}, which the store mounted on this host should show, {wrong}",
            hint="Mount the controller's store read-only there, or unset labctl_store to have the files sent.",
        )
    if wrong and pushed and not call.check and not options["archive"] and not options["peer"]:
        return Outcome(values={"needs_archive": True})
    before = found.target if found else ABSENT
    if before != str(target):
        outcome.changes.append(Change(path, before, str(target)))
    if call.check:
        return outcome
    try:
        _converge(call, path, target, wrong if pushed else "", before)
    except (LabError, OSError) as exc:
        if not wrong or not options["peer"]:
            raise
        # A peer that cannot be reached, that ended in the middle, or that sent something else.
        return Outcome(values={"needs_archive": True}, warnings=[f"another host could not hand it on: {exc}"])
    if pushed and options.get("share"):
        _share(options["share"], target, outcome)
    return outcome


def _share(options: dict[str, str], tree: Path, outcome: Outcome) -> None:
    """Hand the tree on to other hosts. Where that fails, they have the controller."""
    try:
        outcome.values["shared"] = share.start(tree, options["address"], options["token"])
    except (LabError, OSError) as exc:
        outcome.warnings.append(f"the other hosts cannot get it from this one: {exc}")


def _converge(call: Call, path: str, target: Path, wrong: str, before: str) -> None:
    tree = call.params["tree"]
    observed = ABSENT if before == ABSENT else {"kind": "link", "target": before}
    link = {"path": path, "target": str(target), "before": call.manifest.before(call.key, "links", path, observed)}
    record = {
        "path": str(target),
        "digest": tree["digest"],
        "listing": tree["listing"],
        "pushed": target.parent == TREES,
    }
    record.update(name=call.params["name"], version=call.params["version"])
    old_links = call.manifest.records(call.key, "links")
    old_trees = call.manifest.records(call.key, "trees")
    # What is about to be made is recorded first: a run that dies in between can still be undone.
    call.record(
        {"links": [*({**old_links, path: link}).values()], "trees": [*({**old_trees, str(target): record}).values()]}
    )
    if wrong:
        _bring(call.params, target)
    if before != str(target):
        _link(path, str(target))
    _drop(call, [item for key, item in old_links.items() if key != path], [])
    call.record({"links": [link], "trees": [record]})
    _drop(call, [], [item for key, item in old_trees.items() if key != str(target)])


def _bring(params: dict[str, Any], target: Path) -> None:
    """Put the tree in place, from the tar that was sent or from a peer's."""
    tree = params["tree"]
    TREES.mkdir(mode=0o755, exist_ok=True)
    TREES.chmod(0o755)
    for stale in TREES.glob(f"{DRAFT}*"):
        shutil.rmtree(stale)
    if params["archive"]:
        _unpack(Path(params["archive"]), target, tree["digest"])
        return
    draft = TREES / f"{DRAFT}{secrets.token_hex(4)}"
    draft.mkdir(mode=0o700)
    try:
        # A tar adds a header or two for each file, and fills up its last block.
        share.fetch(params["peer"], draft / "peer.tar", tree["bytes"] + 4096 * (tree["files"] + 10))
        _unpack(draft / "peer.tar", target, tree["digest"])
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
    """Undo the section: the link, where it is still ours, and trees of the host's own that no other section needs."""
    links, trees = call.manifest.records(call.key, "links"), call.manifest.records(call.key, "trees")
    outcome = Outcome()
    for path in links:
        found = look(path)
        if found and found.kind == "link" and not call.manifest.owners("links", path, excluding=call.key):
            outcome.changes.append(Change(path, found.target, ABSENT))
    for path, tree in trees.items():
        if tree["pushed"] and Path(path).exists() and not call.manifest.owners("trees", path, excluding=call.key):
            outcome.changes.append(Change(path, "unpacked", ABSENT))
    if not call.check:
        if any(tree["pushed"] for tree in trees.values()):
            share.stop_all()
        _drop(call, list(links.values()), list(trees.values()))
        call.record(None)
    return outcome


def _drop(call: Call, links: list[dict[str, Any]], trees: list[dict[str, Any]]) -> None:
    """Remove links and pushed trees that no other section lists."""
    for link in links:
        path = link["path"]
        found = look(path)
        if found and found.kind == "link" and not call.manifest.owners("links", path, excluding=call.key):
            restore(path, call.manifest.before(call.key, "links", path, link["before"]), call.manifest.root / "backup")
    for tree in trees:
        path = Path(tree["path"])
        if tree["pushed"] and path.parent == TREES and not call.manifest.owners("trees", str(path), excluding=call.key):
            with suppress(FileNotFoundError):
                shutil.rmtree(path)
    with suppress(OSError):
        TREES.rmdir()
