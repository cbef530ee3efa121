# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What names an image, how it is built, and what becomes of builds that do not end. A script stands for mmdebstrap."""

from __future__ import annotations

import dataclasses
import shutil
import stat
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, PreflightError, ProviderError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import load_lab
from ansible_collections.labctl.stacks.plugins.module_utils.lablock import LabLock
from ansible_collections.labctl.stacks.plugins.module_utils.providers.base import no_progress
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import image, image_build, image_tar
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources import debian
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import Entry
from unit.store.packages import make_deb

RECIPE = image.Recipe("debian-13", ("python3", "systemd"))
#: Stands for mmdebstrap: makes a root with what a build machine leaves in it.
BUILD = """\
set -e
echo "I: doing it"
mkdir -p {root}/etc/ssh {root}/etc/systemd/system {root}/usr/share/locale/de {root}/var {root}/etc/dpkg/dpkg.cfg.d
mkdir -p {root}/etc/apt/sources.list.d {root}/usr/share/doc/curl/more {root}/dev
echo "deb [trusted=yes] copy:/somewhere ./" > {root}/etc/apt/sources.list
echo secret > {root}/etc/ssh/ssh_host_rsa_key
echo builder > {root}/etc/hostname
echo rights > {root}/usr/share/doc/curl/copyright
echo news > {root}/usr/share/doc/curl/more/NEWS
ln -s curl {root}/usr/share/doc/libcurl
ln -s ../run/stub {root}/etc/resolv.conf
echo 1234 > {root}/etc/machine-id
date +%s.%N > {root}/usr/share/doc/curl/when
"""


@pytest.fixture(autouse=True)
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Debian's archive: its packages are those in the folder."""
    folder = tmp_path / "archive"
    folder.mkdir()
    make_deb(folder, "systemd", made=1_700_000_000)

    def fetch(source: debian.DebianSource, job: debian.Job) -> list[Entry]:
        entries = []
        for path in sorted([*folder.iterdir()]):
            with path.open("rb") as stream:
                sha256, size = job.blobs.add_stream(stream)
            entries.append(Entry(path.name, 0o444, size, sha256))
        return entries

    monkeypatch.setattr(debian.DebianSource, "fetch", fetch)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABCTL_CACHE_DIR", str(tmp_path))
    # The real check is whether root owns it; tests may run as anybody.
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(image, "OWNER", owner)
    return tmp_path / "images" / "nspawn"


def build_with(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    def argv(packages: object, repository: Path, before: Path, target: Path) -> list[str]:
        return ["/bin/sh", "-c", script.format(root=target)]

    monkeypatch.setattr(image_build, "mmdebstrap_argv", argv)


def left(cache: Path) -> list[str]:
    """What the cache of images holds, apart from what is remembered of recipes."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".json")


def test_the_stacks_packages_are_in_the_image_and_in_its_name() -> None:
    bare, hadoop = image.recipe_for("debian-13", ()), image.recipe_for("debian-13", ("hadoop",))
    assert "default-jre-headless" in hadoop.packages
    assert set(bare.packages) < set(hadoop.packages)
    assert len({bare.digest, hadoop.digest, image.recipe_for("debian-12", ()).digest}) == 3


def test_an_unknown_image_is_bad_input_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="debian-99") as caught:
        image.recipe_for("debian-99", ())
    assert "debian-12, debian-13" in caught.value.hint


def test_mmdebstrap_is_told_packages_and_our_repository_and_no_mirror() -> None:
    argv = image_build.mmdebstrap_argv(RECIPE.packages, Path("/a cache/tree"), Path("/it's"), Path("/target"))
    assert argv[:3] == ["setpriv", "--pdeathsig", "KILL"]
    assert argv[-4:] == ["--include=python3,systemd", "", "/target", "deb [trusted=yes] copy:/a%20cache/tree ./"]
    assert "--setup-hook=cp -r '/it'\\''s'/. \"$1\"" in argv
    assert not [word for word in argv if "://" in word]


def test_an_image_holds_nothing_of_the_build_machine(
    cache: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_with(monkeypatch, BUILD)
    said: list[str] = []
    made = image.ensure(RECIPE, None, lambda host, step: said.append(step))
    root = cache / made.digest
    assert not (root / "etc/ssh/ssh_host_rsa_key").exists()
    assert (root / "etc/hostname").read_text() == "localhost\n"
    assert (root / "etc/machine-id").read_text() == ""
    assert not (root / "etc/resolv.conf").is_symlink()
    assert "PasswordAuthentication no" in (root / "etc/ssh/sshd_config.d/00-labctl.conf").read_text()
    assert (root / "etc/systemd/system/multi-user.target.wants/systemd-networkd.service").is_symlink()
    assert "image: doing it" in said
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert not (root / "usr/share/locale/de").exists()
    assert [path.name for path in (root / "usr/share/doc").rglob("*")] == ["curl", "copyright"]
    assert not (root / "etc/apt/sources.list").exists()
    assert left(cache) == [made.digest]


def test_what_a_stacks_package_brings_does_not_start_by_itself(tmp_path: Path) -> None:
    info, etc = tmp_path / "var/lib/dpkg/info", tmp_path / "etc/systemd/system"
    for folder in (info, etc / "multi-user.target.wants", etc / "sockets.target.wants"):
        folder.mkdir(parents=True)
    (info / "thing.list").write_text(
        "/usr/lib/systemd/system/thing.service\n/usr/lib/systemd/system/thing.socket\n/etc/x\n"
    )
    (info / "systemd.list").write_text("/usr/lib/systemd/system/ours.service\n")
    for link in (
        "multi-user.target.wants/thing.service",
        "multi-user.target.wants/ours.service",
        "sockets.target.wants/thing.socket",
    ):
        (etc / link).symlink_to(f"/usr/lib/systemd/system/{link.rpartition('/')[2]}")
    image_build.disable(tmp_path, {"thing", "not-there"})
    assert sorted(str(path.relative_to(etc)) for path in etc.rglob("*.s*") if path.is_symlink()) == [
        "multi-user.target.wants/ours.service"
    ]
    assert not (etc / "sockets.target.wants").exists()


def test_an_image_is_built_once_however_many_ask(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_with(monkeypatch, BUILD + f"echo once >> {tmp_path}/builds; sleep 0.2\n")
    threads = [threading.Thread(target=image.ensure, args=(RECIPE, None, no_progress)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "builds").read_text() == "once\n"


def test_a_failed_build_says_why_and_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_with(
        monkeypatch, BUILD + "echo 'E: Unable to locate package nonsense'; echo 'E: mmdebstrap failed to run'; exit 1"
    )
    with pytest.raises(ProviderError, match="Unable to locate package nonsense"):
        image.ensure(RECIPE, None, no_progress)
    assert list(cache.iterdir()) == []
    assert image.must_build(RECIPE, None)


def test_what_a_killed_build_left_is_no_image_and_is_cleared(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / ".build-x" / "root").mkdir(parents=True)
    assert image.must_build(RECIPE, None)
    build_with(monkeypatch, BUILD)
    made = image.ensure(RECIPE, None, no_progress)
    assert left(cache) == [made.digest]
    assert not image.must_build(RECIPE, None)


def test_an_interrupted_build_ends_its_processes(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_with(monkeypatch, f"echo 'I: sleeping'; sleep 60 & echo $! > {tmp_path}/pid; echo 'I: again'; wait")

    def interrupt(host: str, step: str) -> None:
        if step == "image: again":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        image.ensure(RECIPE, None, interrupt)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the build goes on"
        time.sleep(0.02)
    assert list(cache.iterdir()) == []


def test_an_image_that_is_a_link_is_none(cache: Path, tmp_path: Path) -> None:
    cache.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (cache / RECIPE.digest).symlink_to(tmp_path / "elsewhere")
    assert not image.present(RECIPE.digest)


def test_the_same_packages_give_the_same_image_whenever_it_is_built(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_with(monkeypatch, BUILD)
    first = image.ensure(RECIPE, None, no_progress)
    shutil.rmtree(cache)
    time.sleep(0.01)
    assert image.ensure(RECIPE, None, no_progress) == first
    youngest = max(path.lstat().st_mtime for path in (cache / first.digest).rglob("*"))
    assert youngest == 1_700_000_000


def test_other_packages_give_another_image_under_the_same_recipe(
    cache: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_with(monkeypatch, BUILD)
    first = image.ensure(RECIPE, None, no_progress)
    shutil.rmtree(cache.parents[1] / "store")
    make_deb(archive, "added", made=1_700_000_001)
    (cache / f"{RECIPE.digest}.json").unlink()
    second = image.ensure(RECIPE, None, no_progress)
    assert first.recipe == second.recipe
    assert first.packages != second.packages
    assert first.digest != second.digest
    # Who has the first one locked keeps it.
    assert image.ensure(RECIPE, first, no_progress) == first


def test_a_lock_is_read_as_it_was_written_and_refused_where_it_was_edited(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_with(monkeypatch, BUILD)
    made = image.ensure(RECIPE, None, no_progress)
    data = made.to_dict()
    assert image.Locked.from_dict(data) == made
    for key, value in (("files", []), ("packages", "sha256:0"), ("image", "sha256:zz"), ("bytes", "many")):
        with pytest.raises(ValueError):
            image.Locked.from_dict({**data, key: value})
    for nothing in (None, [], {}, "text"):
        with pytest.raises(ValueError, match="not a locked image"):
            image.Locked.from_dict(nothing)


def test_a_locked_image_that_comes_out_different_stops_the_run(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_with(monkeypatch, BUILD)
    made = image.ensure(RECIPE, None, no_progress)
    shutil.rmtree(cache)
    build_with(monkeypatch, BUILD + "echo other > {root}/usr/program\n")
    with pytest.raises(PreflightError, match=f"lab.lock says sha256:{made.digest}") as caught:
        image.ensure(RECIPE, made, no_progress)
    assert "labctl lock --upgrade" in caught.value.hint
    assert list(cache.iterdir()) == []


def test_an_image_whose_tar_is_in_the_store_is_unpacked_and_not_built(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_with(monkeypatch, BUILD)
    made = image.ensure(RECIPE, None, no_progress)
    blob = cache.parents[1] / "store/blobs/sha256" / made.digest[:2] / made.digest
    blob.parent.mkdir(exist_ok=True)
    with blob.open("wb") as target, image_tar.stream(cache / made.digest) as tar:
        shutil.copyfileobj(tar, target)
    shutil.rmtree(cache)
    build_with(monkeypatch, "exit 1")
    assert not image.must_build(RECIPE, made)
    assert image.ensure(RECIPE, made, no_progress) == made
    assert image_tar.name_of(cache / made.digest) == (made.digest, made.size)
    shutil.rmtree(cache)
    blob.write_bytes(blob.read_bytes()[:-512] + b"x" * 512)
    with pytest.raises(PreflightError, match="was damaged"):
        image.ensure(RECIPE, made, no_progress)
    assert list(cache.iterdir()) == []


def test_a_lock_of_another_recipe_is_not_this_labs(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_with(monkeypatch, BUILD)
    made = image.ensure(RECIPE, None, no_progress)
    other = dataclasses.replace(RECIPE, packages=(*RECIPE.packages, "nftables"))
    assert image.wanted(RECIPE, made) == made
    assert image.wanted(other, made) is None


def test_a_lab_keeps_to_its_image_and_an_upgrade_brings_the_current_one(
    cache: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_with(monkeypatch, BUILD)
    (tmp_path / "lab.yml").write_text("name: kept\nprovider: nspawn\nhosts: {one: {}}\nstacks: []\n")
    lab = load_lab(tmp_path / "lab.yml")
    first = image.of_lab(lab, no_progress)
    assert image.lock_of(lab) == first
    make_deb(archive, "added", made=1_700_000_001)
    image.forget(image.recipe_for("debian-13", ()))
    assert image.of_lab(lab, no_progress) == first
    LabLock(tmp_path).record_image(None)
    second = image.of_lab(lab, no_progress)
    assert (second.packages != first.packages, image.lock_of(lab)) == (True, second)


def test_a_locked_image_that_was_edited_is_bad_input(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_with(monkeypatch, BUILD)
    (tmp_path / "lab.yml").write_text("name: kept\nprovider: nspawn\nhosts: {one: {}}\nstacks: []\n")
    lab = load_lab(tmp_path / "lab.yml")
    data = image.of_lab(lab, no_progress).to_dict()
    LabLock(tmp_path).record_image({**data, "files": []})
    with pytest.raises(InputError, match=r"lab\.lock: image: the files are not those"):
        image.of_lab(lab, no_progress)
