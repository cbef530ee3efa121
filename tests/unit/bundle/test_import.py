# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles: what comes out is what went in, and of a bundle that is not as it should be nothing is taken."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, LabError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from labctl.lab.bundle import index as format_
from labctl.lab.bundle import keys
from labctl.lab.bundle import load as loading
from labctl.lab.bundle.load import Imported, Trust, load
from unit.bundle import make

ANYHOW = Trust(unpinned=True)
DIGEST = format_.digest_of(make.index(make.contents()).dump())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache" / "store")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def bring(path: Path, here: Path, store: Store, trust: Trust = ANYHOW) -> Imported:
    return load(path, here, trust, lambda event: None, store)


def taken(here: Path, store: Store) -> list[str]:
    """Whatever an import left, in the store or beside it."""
    kinds = ("blobs", "trees", "records", "tmp", "quarantine")
    left = [path for kind in kinds for path in (store.root / kind).rglob("*") if not path.is_dir()]
    return [str(path) for path in [*left, *here.rglob("*")]]


def refused(path: Path, here: Path, store: Store, trust: Trust = ANYHOW) -> LabError:
    with pytest.raises(LabError) as caught:
        bring(path, here, store, trust)
    assert taken(here, store) == []
    assert "\n" not in str(caught.value)
    return caught.value


# What comes out -------------------------------------------------------------------------------------------------------


def test_an_import_gives_trees_records_and_the_lab(tmp_path: Path, here: Path, store: Store) -> None:
    found = bring(make.bundle(tmp_path / "b"), here, store, Trust(digest=DIGEST))
    tree = store.root / "trees" / make.artifact().digest
    assert {path: (tree / path).read_bytes() for path in make.CONTENT} == make.CONTENT
    assert stat.S_IMODE((tree / "bin/run").stat().st_mode) == 0o555
    record = json.loads((store.root / "records" / f"{make.artifact().key}.json").read_text())
    assert record == [list(entry) for entry in make.artifact().files]
    assert (here / "lab.yml").read_bytes() == make.LAB
    assert (found.digest, found.written, found.folder) == (DIGEST, ("lab.yml",), here)
    assert not list((store.root / "tmp").rglob("*.*"))


def test_the_same_import_again_changes_nothing(tmp_path: Path, here: Path, store: Store) -> None:
    bundle = make.bundle(tmp_path / "b")
    bring(bundle, here, store)
    before = {path: path.stat().st_ino for path in store.root.rglob("*") if path.parts[-2] != "verified"}
    again = bring(bundle, here, store)
    after = {path: path.stat().st_ino for path in store.root.rglob("*") if path.parts[-2] != "verified"}
    changed = [path for path in before if before[path] != after.get(path) and "records" not in path.parts]
    assert (again.written, changed) == ((), [])


def test_a_default_lab_goes_where_up_looks_for_it(tmp_path: Path, here: Path, store: Store) -> None:
    bring(make.bundle(tmp_path / "b", default=True), here, store)
    assert (here / ".labctl" / "lab.yml").read_bytes() == make.LAB


def test_an_import_mends_what_is_damaged_in_the_store(tmp_path: Path, here: Path, store: Store) -> None:
    bundle = make.bundle(tmp_path / "b")
    bring(bundle, here, store)
    path = store.root / "trees" / make.artifact().digest / "lib/a.jar"
    path.chmod(0o644)
    path.write_bytes(b"poisoned")
    path.chmod(0o444)
    bring(bundle, here, store)
    assert path.read_bytes() == make.CONTENT["lib/a.jar"]


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make.bundle(tmp_path / "a").read_bytes()
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert make.bundle(tmp_path / "b").read_bytes() == first


def test_another_labctls_bundle_is_taken_with_a_note(tmp_path: Path, here: Path, store: Store) -> None:
    found = bring(make.bundle(tmp_path / "b", labctl="9.9.9"), here, store)
    assert "labctl 9.9.9" in found.notes[0]


# Trust ----------------------------------------------------------------------------------------------------------------


def test_without_a_digest_or_key_it_is_refused_with_the_digest_found(tmp_path: Path, here: Path, store: Store) -> None:
    error = refused(make.bundle(tmp_path / "b"), here, store, Trust())
    assert DIGEST in str(error)
    assert "--accept-unpinned" in error.hint


@pytest.mark.parametrize("digest", [DIGEST, DIGEST.removeprefix("sha256:")])
def test_the_right_digest_is_enough(tmp_path: Path, here: Path, store: Store, digest: str) -> None:
    assert bring(make.bundle(tmp_path / "b"), here, store, Trust(digest=digest)).digest == DIGEST


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "md5:1", "x"])
def test_another_digest_is_refused_also_when_taken_on_trust(
    tmp_path: Path, here: Path, store: Store, digest: str
) -> None:
    assert DIGEST in str(refused(make.bundle(tmp_path / "b"), here, store, Trust(digest=digest, unpinned=True)))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    key = Ed25519PrivateKey.generate()
    private, public = tmp_path / "key", tmp_path / "key.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_a_signature_by_the_right_key_is_enough(
    tmp_path: Path, here: Path, store: Store, pair: tuple[Path, Path]
) -> None:
    bundle = make.bundle(tmp_path / "b", sign=lambda raw: keys.sign(raw, pair[0]))
    assert bring(bundle, here, store, Trust(key=pair[1])).written == ("lab.yml",)


def test_another_key_no_signature_and_no_key_are_refused(
    tmp_path: Path, here: Path, store: Store, pair: tuple[Path, Path]
) -> None:
    signed = make.bundle(tmp_path / "b", sign=lambda raw: Ed25519PrivateKey.generate().sign(raw))
    assert "its signature is not by" in str(refused(signed, here, store, Trust(key=pair[1], unpinned=True)))
    assert "it is not signed" in str(refused(make.bundle(tmp_path / "c"), here, store, Trust(key=pair[1])))
    assert "is no public key" in str(refused(signed, here, store, Trust(key=pair[0])))
    assert "cannot be read" in str(refused(signed, here, store, Trust(key=tmp_path / "none")))
    # A signature alone, which nobody asked to be compared with a key, says nothing.
    assert "nothing says" in str(refused(signed, here, store, Trust()))


# Not as it should be --------------------------------------------------------------------------------------------------


def test_a_bundle_cut_off_anywhere_is_refused(tmp_path: Path, here: Path, store: Store) -> None:
    whole = make.bundle(tmp_path / "b").read_bytes()
    for size in [*range(0, len(whole) - 40, max(1, len(whole) // 60)), len(whole) // 2]:
        (tmp_path / "cut").write_bytes(whole[:size])
        assert isinstance(refused(tmp_path / "cut", here, store), InputError)


def test_a_bundle_with_any_byte_changed_gives_no_other_content(tmp_path: Path, here: Path, store: Store) -> None:
    whole = make.bundle(tmp_path / "b").read_bytes()
    chance = random.Random(1)  # noqa: S311 - the same each time
    for _ in range(60):
        at = chance.randrange(len(whole))
        damaged = bytearray(whole)
        damaged[at] ^= 1 << chance.randrange(8)
        (tmp_path / "damaged").write_bytes(damaged)
        try:
            bring(tmp_path / "damaged", here, store, Trust(digest=DIGEST))
        except InputError:
            assert taken(here, store) == []
        else:  # the flip hit what zstd does not use; the content is verified all the same
            assert (here / "lab.yml").read_bytes() == make.LAB
            shutil.rmtree(store.root)
            (here / "lab.yml").unlink()


@pytest.mark.parametrize(
    "content", [b"", b"<!doctype html><title>Log in</title>", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfdnonsense" * 99]
)
def test_what_is_no_bundle_is_refused(tmp_path: Path, here: Path, store: Store, content: bytes) -> None:
    (tmp_path / "b").write_bytes(content)
    refused(tmp_path / "b", here, store)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path, here: Path, store: Store) -> None:
    assert "cannot be read: No such file" in str(refused(tmp_path / "none", here, store))
    assert "cannot be read: Is a directory" in str(refused(tmp_path, here, store))


def test_some_other_archive_is_refused(tmp_path: Path, here: Path, store: Store) -> None:
    error = refused(make.packed(tmp_path / "b", [(make.header("README", 2), b"hi")]), here, store)
    assert "does not begin with its index" in str(error)
    (tmp_path / "text").write_bytes(zstandard.ZstdCompressor().compress(b"some text" * 1000))
    assert "it is not a tar" in str(refused(tmp_path / "text", here, store))


def bad(**changes: Any) -> bytes:
    return make.edited(**changes)


ONE = {"path": "lab/lab.yml", "size": len(make.LAB), "sha256": make.sha256(make.LAB)}
THING = json.loads(make.index(make.contents()).dump())["artifacts"][0]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"not json", "its index is damaged"),
        (b"[" * 100_000, "its index is damaged"),
        (b"[]", "not that of a labctl bundle"),
        (bad(format="somebody else's"), "not that of a labctl bundle"),
        (bad(version=2), "its format is 2, this labctl reads 1"),
        (bad(arch="riscv64"), "the bundle is for riscv64"),
        (bad(more=1), "its index is damaged"),
        (bad(lab="../x"), "not a plain word"),
        (bad(members=[ONE, ONE]), "a file is there twice"),
        (bad(members=[{**ONE, "path": "lab/../../etc/passwd"}]), "unsafe path"),
        (bad(members=[{**ONE, "path": "/etc/passwd"}]), "unsafe path"),
        (bad(members=[{**ONE, "path": "lab/.ssh/authorized_keys"}]), "a file that no bundle has"),
        (bad(members=[{**ONE, "path": "lab/.labctl/id"}]), "a file that no bundle has"),
        (bad(members=[{**ONE, "path": "lab/group_vars/.x"}]), "a file that no bundle has"),
        (bad(members=[{**ONE, "path": "blobs/sha256/aa/bb"}]), "a file that no bundle has"),
        (bad(members=[{**ONE, "path": "wheels/x/../y.whl"}]), "unsafe path"),
        (bad(members=[{**ONE, "size": -1}]), "not a size"),
        (bad(members=[{**ONE, "size": 1 << 60}]), "not a size"),
        (bad(members=[{**ONE, "size": True}]), "not a size"),
        (bad(members=[{**ONE, "sha256": "0"}]), "not a sha256"),
        (bad(members={}), "not a list"),
        (bad(artifacts=[{**THING, "digest": "0" * 64}]), "not those of its digest"),
        (bad(artifacts=[{**THING, "key": "../../x"}]), "not a sha256"),
        (bad(artifacts=[{**THING, "files": [["lib/x", 0o444, 1, "0" * 64]]}]), "is not among its files"),
        (bad(artifacts=[{**THING, "files": [["../x", 0o444, 0, make.sha256(b"")]]}]), "unsafe path"),
        (bad(artifacts=[{**THING, "files": [["x", 0o4755, 0, make.sha256(b"")]]}]), "is not among its files"),
        (bad(images=[{"image": "sha256:" + "0" * 64, "bytes": 1, "recipe": "x"}]), "an image is not among its files"),
    ],
)
def test_an_index_that_lies_is_refused(tmp_path: Path, here: Path, store: Store, raw: bytes, expected: str) -> None:
    assert expected in str(refused(make.with_index(tmp_path / "b", raw), here, store))


def honest() -> list[tuple[tarfile.TarInfo, bytes]]:
    members = make.contents()
    return [(make.header(one.path, one.size), members[one.path]) for one in make.index(members).members]


def hostile(name: str) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Honest members with one thing changed."""
    rest = honest()
    info, content = rest[1]
    kinds = {
        "link": {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd", "size": 0},
        "hard link": {"type": tarfile.LNKTYPE, "linkname": "lab/lab.yml", "size": 0},
        "device": {"type": tarfile.CHRTYPE, "size": 0},
        "fifo": {"type": tarfile.FIFOTYPE, "size": 0},
        "folder": {"type": tarfile.DIRTYPE, "size": 0},
        "sparse": {"type": tarfile.GNUTYPE_SPARSE},
        "setuid": {"mode": 0o4755},
        "above": {"name": "../lab.yml"},
        "absolute": {"name": "/etc/cron.d/x"},
    }
    if name in kinds:
        size = kinds[name].get("size", info.size)
        rest[1] = (make.header(**{"name": info.name, "size": info.size, **kinds[name]}), content if size else b"")
    elif name == "other bytes":
        rest[1] = (info, b"x" * len(content))
    elif name == "longer":
        rest[1] = (make.header(info.name, info.size + 1), content + b"x")
    elif name == "one too many":
        rest.append((make.header("lab/site.yml", 1), b"x"))
    elif name == "one too few":
        rest.pop()
    elif name == "another order":
        rest.reverse()
    return rest


@pytest.mark.parametrize(
    "name",
    [
        *("link", "hard link", "device", "fifo", "folder", "sparse", "setuid", "above", "absolute"),
        *("other bytes", "longer", "one too many", "one too few", "another order"),
    ],
)
def test_members_that_are_not_as_the_index_says_are_refused(
    tmp_path: Path, here: Path, store: Store, name: str
) -> None:
    raw = make.index(make.contents()).dump()
    error = refused(make.with_index(tmp_path / "b", raw, hostile(name)), here, store, Trust(digest=DIGEST))
    assert isinstance(error, InputError)


def test_extended_headers_are_refused_unread(tmp_path: Path, here: Path, store: Store) -> None:
    raw = make.index(make.contents()).dump()
    info = make.header("lab/lab.yml", len(make.LAB), pax_headers={"path": "../../escaped"})
    rest = [(info, make.LAB)]
    path = make.packed(tmp_path / "b", [(make.header("index.json", len(raw)), raw), *rest], form=tarfile.PAX_FORMAT)
    assert "is not a plain file" in str(refused(path, here, store))


def test_a_bomb_is_not_unpacked(tmp_path: Path, here: Path, store: Store) -> None:
    size = 1 << 33
    head = make.header("index.json", size).tobuf(tarfile.GNU_FORMAT)
    bomb = zstandard.ZstdCompressor().compress(head + bytes(1 << 28))
    assert len(bomb) < 1 << 16
    (tmp_path / "b").write_bytes(bomb)
    assert "does not begin with its index" in str(refused(tmp_path / "b", here, store))


def test_a_window_that_takes_all_memory_is_refused(tmp_path: Path, here: Path, store: Store) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=False)
    raw = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    (tmp_path / "b").write_bytes(raw.compress(bytes(100)) + raw.flush())
    assert "it is damaged" in str(refused(tmp_path / "b", here, store))


# Trouble --------------------------------------------------------------------------------------------------------------


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(
    tmp_path: Path, here: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 10))
    error = refused(make.bundle(tmp_path / "b"), here, store)
    assert isinstance(error, PreflightError)
    assert "LABCTL_CACHE_DIR" in error.hint


def test_a_disk_that_fills_up_leaves_nothing(
    tmp_path: Path, here: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*words: object) -> None:
        raise OSError(28, "No space left on device", "draft")

    bundle = make.bundle(tmp_path / "b")
    monkeypatch.setattr(loading, "_stage", full)
    assert "No space left on device" in str(refused(bundle, here, store))


@pytest.mark.parametrize("step", ["_stage", "_take", "_write_lab"])
def test_an_import_that_was_interrupted_is_finished_by_the_next(
    tmp_path: Path, here: Path, store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    bundle = make.bundle(tmp_path / "b")
    done = getattr(loading, step)

    def interrupted(*words: Any) -> None:
        if step == "_take":  # when the blobs are in their places, and no tree is laid out yet
            words[2].lay_out = stopped
            done(*words)
        stopped()

    def stopped(*words: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loading, step, interrupted)
        bring(bundle, here, store)
    assert not (here / "lab.yml").exists()
    assert bring(bundle, here, store).written == ("lab.yml",)
    assert (store.root / "trees" / make.artifact().digest / "lib/a.jar").read_bytes() == b"first jar"


def test_another_lab_in_the_folder_is_not_touched(tmp_path: Path, here: Path, store: Store) -> None:
    (here / "lab.yml").write_text("name: mine\n")
    with pytest.raises(InputError, match="holds another lab") as caught:
        bring(make.bundle(tmp_path / "b"), here, store)
    assert "is there already, and differs" in caught.value.report
    assert (here / "lab.yml").read_text() == "name: mine\n"
    assert not store.root.exists()


def test_a_link_in_the_labs_place_is_not_followed(tmp_path: Path, here: Path, store: Store) -> None:
    (tmp_path / "victim").write_bytes(make.LAB)
    (here / "lab.yml").symlink_to(tmp_path / "victim")
    with pytest.raises(InputError, match="holds another lab"):
        bring(make.bundle(tmp_path / "b"), here, store)


def test_writing_notices_a_member_that_changed_and_leaves_no_file(tmp_path: Path) -> None:
    members = make.contents()
    wanted = make.index(members)
    with pytest.raises(PreflightError, match="changed while it was packed"):
        make.write(
            tmp_path / "b", wanted, make.openers({**members, "lab/lab.yml": make.LAB.replace(b"one", b"two")}),
            sign=None, progress=lambda done, total: None,
        )  # fmt: skip
    with pytest.raises(PreflightError, match=r"is damaged on disk|cannot be written"):
        make.write(
            tmp_path / "b", wanted, make.openers({**members, "lab/lab.yml": b""}),
            sign=None, progress=lambda done, total: None,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []
