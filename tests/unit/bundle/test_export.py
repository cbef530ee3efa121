# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into a bundle, and which lab is meant. Wheels are doubles; the lab has no image, its hosts exist."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import load_lab
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import Artifact
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.base import Job, Where
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import Entry
from labctl.lab.bundle import export as exporting
from labctl.lab.bundle import wheels
from labctl.lab.bundle.export import export, lab_of
from labctl.lab.bundle.load import Trust, load

LAB = "name: mine\nprovider: static\nhosts: {one: {address: 192.0.2.1}}\nstacks: []\n"


class Wheels(wheels.WheelsSource):
    """Stands for pip."""

    def fetch(self, job: Job) -> list[Entry]:
        sha256, size = job.blobs.add_stream(io.BytesIO(b"typer"))
        return [Entry("typer-0.29.2-py3-none-any.whl", 0o444, size, sha256)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def own_wheel(folder: Path) -> Path:
        path = folder / "labctl-0.1.0-py3-none-any.whl"
        path.write_bytes(b"labctl")
        return path

    source = Wheels(where=Where(Path("x"), wheels.ARTIFACT, "0.1.0", "x86_64"), versions=(("typer", "0.29.2"),))
    monkeypatch.setattr(wheels, "wheels", lambda: Artifact(wheels.ARTIFACT, "0.1.0", "x86_64", (source,)))
    monkeypatch.setattr(wheels, "own_wheel", own_wheel)
    monkeypatch.setenv("LABCTL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    for name, text in {
        "lab.yml": LAB,
        "static.yml": "plugin: labctl.stacks.static\n",
        "group_vars/all.yml": "a: 1\n",
        "group_vars/.hidden": "no",
        "notes.txt": "no",
        ".labctl/secrets/password": "canary",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_a_bundle_of_a_lab_brings_it_up_elsewhere_without_its_secrets(tmp_path: Path, folder: Path) -> None:
    made = export(load_lab(folder / "lab.yml"), tmp_path / "b", lambda event: None)
    assert [member.path for member in made.index.members] == [
        "wheels/labctl-0.1.0-py3-none-any.whl",
        "wheels/typer-0.29.2-py3-none-any.whl",
        "lab/group_vars/all.yml",
        "lab/lab.lock",
        "lab/lab.yml",
        "lab/static.yml",
    ]
    there = Store(tmp_path / "there" / "store")
    found = load(tmp_path / "b", tmp_path / "new", Trust(digest=made.digest), lambda event: None, there)
    assert sorted(found.written) == ["group_vars/all.yml", "lab.lock", "lab.yml", "static.yml"]
    assert load_lab(tmp_path / "new/lab.yml").name == "mine"
    assert there.find(wheels.wheels())
    assert b"canary" not in b"".join(path.read_bytes() for path in (tmp_path / "new").rglob("*") if path.is_file())


def test_the_same_lab_gives_the_same_bundle(tmp_path: Path, folder: Path) -> None:
    lab = load_lab(folder / "lab.yml")
    digests = {export(lab, tmp_path / name, lambda event: None).digest for name in ("a", "b")}
    assert len(digests) == 1
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_links_beside_a_lab_are_refused(tmp_path: Path, folder: Path) -> None:
    (folder / "group_vars/link.yml").symlink_to("/etc/hostname")
    with pytest.raises(InputError, match="holds no links"):
        export(load_lab(folder / "lab.yml"), tmp_path / "b", lambda event: None)
    assert not (tmp_path / "b").exists()


def test_a_folder_to_write_to_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        export(load_lab(folder / "lab.yml"), tmp_path, lambda event: None)


def test_a_lab_is_named_by_folder_file_or_stack(tmp_path: Path, folder: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for word in (str(folder), str(folder / "lab.yml")):
        with lab_of(word, empty) as lab:
            assert lab.name == "mine"
    with lab_of("hadoop", empty) as lab:
        assert (lab.name, lab.stacks, exporting.is_default(lab)) == ("hadoop", ("hadoop",), True)
    assert list(empty.iterdir()) == []
    # A lab here that runs the stack is the one that is meant; one that does not is not.
    with lab_of("hadoop", folder) as lab:
        assert lab.name == "hadoop"
    with pytest.raises(InputError, match="there is no lab hadop"), lab_of("hadop", empty):
        pass
