# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the lab a command is about, and writes the files of a new one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab, load_lab
from ansible_collections.labctl.stacks.plugins.module_utils.paths import chown_to_caller, make_dir

from labctl.lab.topology import inventory_text, lab_text, topology

LAB_FILE = "lab.yml"
FOLDER = ".labctl"


def find_spec(start: Path) -> Path | None:
    """The lab file a command in folder ``start`` is about: its own, else that of a default topology, else None."""
    if start.is_file():
        return start
    if not start.is_dir():
        raise InputError(f"there is no folder {start}", hint="--lab takes a folder with a lab.yml")
    for candidate in (start / LAB_FILE, start / FOLDER / LAB_FILE):
        if os.path.lexists(candidate):
            return candidate
    return None


def folder_of(start: Path) -> Path:
    """The folder of the lab file a command in ``start`` is about; ``start`` itself where there is none yet."""
    spec = find_spec(start)
    return spec.parent if spec else start


def find_lab(start: Path) -> Lab:
    """The lab in ``start``; InputError where there is none or it is not valid."""
    spec = find_spec(start)
    if spec is None:
        where = "here" if start.resolve() == Path.cwd() else f"in {start}"
        raise InputError(
            f"there is no lab {where}: neither {LAB_FILE} nor {FOLDER}/{LAB_FILE}",
            hint="labctl up STACK makes one, labctl init writes a lab.yml to start from",
        )
    return load_lab(spec)


def is_default(lab: Lab) -> bool:
    """Whether labctl wrote this lab's file itself, into the lab folder."""
    return lab.spec.parent == lab.lab_dir


def lab_for(start: Path, stack: str | None) -> tuple[Lab, bool]:
    """The lab to bring up in ``start``, and whether its default topology was written just now.

    InputError where there is neither a lab nor a stack to make one of, and where a lab is there for other stacks.
    """
    if stack is not None:
        topology(stack)
    created = False
    if stack is not None and find_spec(start) is None:
        with contextlib.suppress(FileExistsError):  # another `up` was quicker: then its lab is the one
            write_default(start, stack)
            created = True
    lab = find_lab(start)
    if stack is not None and stack not in lab.stacks:
        runs = f"runs {', '.join(lab.stacks)}" if lab.stacks else "has no stack"
        raise InputError(
            f"the lab here, {lab.name}, {runs}, not {stack}",
            hint=f"add {stack} to stacks in {lab.spec.name}, or work in another folder",
        )
    return lab, created


def write_default(start: Path, stack: str) -> Path:
    """Write the default topology of ``stack`` into ``start``/.labctl and return its lab file."""
    text = lab_text(stack, topology(stack).stack, "nspawn")
    folder = start / FOLDER
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder} is not a folder", hint="remove it, or work in another folder")
    make_dir(folder)
    write_new(folder / LAB_FILE, text)
    return folder / LAB_FILE


def ensure_inventory(lab: Lab) -> bool:
    """Write the lab's inventory file where there is none yet; whether it was written."""
    if lab.inventory.exists():
        return False
    folder = os.path.relpath(lab.lab_dir, lab.spec.parent)
    write_new(lab.inventory, inventory_text(lab.provider.type, lab.spec.name, folder))
    return True


def write_new(path: Path, text: str) -> None:
    """Write a file that must not exist yet, as the calling user's."""
    with path.open("x", encoding="utf-8") as stream:
        stream.write(text)
    chown_to_caller(path)
