# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of Debian packages: resolved once, and from then on these very files or an error. A double stands for apt."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store import apt as real
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import Artifact
from ansible_collections.labctl.stacks.plugins.module_utils.store.debs import Deb, parsed
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources import debian
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.base import Where
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Resolved, Store
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import sha256_file
from unit.store.packages import make_deb

WHERE = Where(Path("lab.lock"), "debian-13", "1", "x86_64")
SOURCE = debian.DebianSource(where=WHERE, suite="trixie", packages=("curl", "sudo"))


class Archive:
    """What the double of apt serves: the packages in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fetched: list[str] = []
        self.sources = "deb somewhere trixie main\n"

    def offers(self) -> list[real.Planned]:
        return [
            real.Planned(path.name, path.stat().st_size, sha256_file(path), deb)
            for path in sorted(self.folder.glob("*.deb"))
            if (deb := parsed(path.name))
        ]


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    (tmp_path / "archive").mkdir()
    archive = Archive(tmp_path / "archive")
    for name in ("curl", "sudo", "libc6"):
        make_deb(archive.folder, name)

    class Apt:
        def __init__(self, suite: str, arch: str, folder: Path, progress: Callable[[str, int, int], None]) -> None:
            assert (suite, arch) == ("trixie", "amd64")
            self.folder = folder

        def prepare(self) -> None:
            self.folder.mkdir()

        def sources(self) -> dict[str, str]:
            return {"sources.list": archive.sources}

        def plan(self, packages: Iterable[str]) -> list[real.Planned]:
            assert set(packages) == {"curl", "sudo"}
            return archive.offers()

        def exactly(self, wanted: Iterable[Deb]) -> list[real.Planned]:
            offers = {item.deb: item for item in archive.offers()}
            said = "".join(
                f"E: Version '{d.version}' for '{d.name}' was not found\n" for d in wanted if d not in offers
            )
            if said:
                raise real._failed("apt-get", "trixie", said)
            return [offers[deb] for deb in wanted]

        def download(self, wanted: list[real.Planned]) -> Path:
            for item in wanted:
                archive.fetched.append(item.deb.name)
                (self.folder / item.filename).write_bytes((archive.folder / item.filename).read_bytes())
            return self.folder

    monkeypatch.setattr(debian, "Apt", Apt)
    return archive


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache" / "store")


def resolve(store: Store, source: debian.DebianSource = SOURCE) -> Resolved:
    return store.resolve(Artifact("debian-13", "1", "x86_64", (source,)))


def locked(found: Resolved) -> debian.DebianSource:
    return dataclasses.replace(SOURCE, locked=found.entries)


def lose(store: Store, found: Resolved, prefix: str) -> None:
    """What a clean-up of the store may do: a file goes, from tree and blobs."""
    (entry,) = [entry for entry in found.entries if entry.path.startswith(prefix)]
    (found.path / entry.path).unlink()
    (store.root / "blobs/sha256" / entry.sha256[:2] / entry.sha256).unlink()


def test_a_set_is_a_repository_of_its_packages_and_is_found_again(store: Store, archive: Archive) -> None:
    found = resolve(store)
    names = [path.name for path in archive.folder.iterdir()]
    assert {entry.path for entry in found.entries} == {*names, "Packages", "apt/sources.list"}
    assert (found.path / "Packages").read_text().count("Package: ") == 3
    make_deb(archive.folder, "newer")
    again = resolve(store)
    assert (again.source, again.digest) == ("store", found.digest)


def test_a_locked_set_comes_back_from_the_archive_by_version_and_digest(store: Store, archive: Archive) -> None:
    found = resolve(store)
    source = locked(found)
    assert resolve(store, source).source == "store"
    lose(store, found, "curl_")
    lose(store, found, "Packages")
    archive.fetched.clear()
    again = resolve(store, source)
    assert (again.digest, again.source, archive.fetched) == (found.digest, "debian", ["curl"])


def test_a_locked_version_that_is_gone_is_an_error_that_names_it_and_no_upgrade(store: Store, archive: Archive) -> None:
    found = resolve(store)
    lose(store, found, "curl_")
    (archive.folder / "curl_1.0-1_amd64.deb").unlink()
    make_deb(archive.folder, "curl", "1.0-2")
    archive.fetched.clear()
    with pytest.raises(PreflightError) as caught:
        resolve(store, locked(found))
    assert "does not have curl 1.0-1" in caught.value.report
    assert "labctl lock --upgrade" in caught.value.report
    assert archive.fetched == []


def test_other_bytes_under_a_locked_version_are_refused(store: Store, archive: Archive) -> None:
    found = resolve(store)
    lose(store, found, "curl_")
    make_deb(archive.folder, "curl", made=2000)
    with pytest.raises(PreflightError) as caught:
        resolve(store, locked(found))
    assert "curl_1.0-1_amd64.deb: the archive has sha256" in caught.value.report


def test_what_comes_and_is_not_what_the_archive_announced_is_refused(
    store: Store, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian.Apt, "plan", lambda self, packages: [archive.offers()[0]._replace(sha256="0" * 64)])
    with pytest.raises(PreflightError) as caught:
        resolve(store)
    assert "curl_1.0-1_amd64.deb: has sha256" in caught.value.report
    assert not list((store.root / "trees").glob("*"))


def test_lists_of_sources_that_differ_from_the_locked_ones_are_refused(store: Store, archive: Archive) -> None:
    found = resolve(store)
    lose(store, found, "apt/sources.list")
    archive.sources = "deb elsewhere trixie main\n"
    with pytest.raises(PreflightError) as caught:
        resolve(store, locked(found))
    assert "apt/sources.list" in caught.value.report


def test_the_same_packages_give_the_same_set_in_another_store(tmp_path: Path, archive: Archive) -> None:
    first = resolve(Store(tmp_path / "one" / "store"))
    assert resolve(Store(tmp_path / "two" / "store")).digest == first.digest


def test_parts_are_the_packages_with_their_urls(store: Store, archive: Archive) -> None:
    parts = locked(resolve(store)).inputs()
    assert [part["purl"] for part in parts] == [
        f"pkg:deb/debian/{name}@1.0-1?arch=amd64" for name in ("curl", "libc6", "sudo")
    ]
    assert all(part["digest"].startswith("sha256:") for part in parts)


def test_an_unknown_architecture_is_a_reason(store: Store, archive: Archive) -> None:
    source = dataclasses.replace(SOURCE, where=dataclasses.replace(WHERE, arch="m68k"))
    with pytest.raises(PreflightError) as caught:
        resolve(store, source)
    assert "m68k" in caught.value.report


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"suite": "trixie"}, "lacks packages"),
        ({"suite": "trixie", "packages": ["curl"], "variant": "x"}, "unknown key 'variant'"),
        ({"suite": "trixie", "packages": ["curl; reboot"]}, "'curl; reboot' is not a name"),
        ({"suite": "-oDir=/", "packages": ["curl"]}, "'-oDir=/' is not a name"),
        ({"suite": "trixie", "packages": ["curl=1"]}, "'curl=1' is not a name"),
    ],
)
def test_an_entry_is_read_strictly(fields: dict[str, object], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        debian.DebianSource.parse(fields, WHERE)
