# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What names an image, how it is built, and what becomes of builds that do not end."""

from __future__ import annotations

import stat
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, ProviderError
from ansible_collections.labctl.stacks.plugins.module_utils.providers.base import no_progress
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import image

RECIPE = image.Recipe("trixie", ("python3", "systemd"))
#: Stands for mmdebstrap: makes a root with what a build machine leaves in it.
BUILD = """\
set -e
echo "I: doing it"
mkdir -p {root}/etc/ssh {root}/etc/systemd/system {root}/usr {root}/var {root}/etc/dpkg/dpkg.cfg.d
echo secret > {root}/etc/ssh/ssh_host_rsa_key
echo builder > {root}/etc/hostname
ln -s ../run/stub {root}/etc/resolv.conf
echo 1234 > {root}/etc/machine-id
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABCTL_CACHE_DIR", str(tmp_path))
    # The real check is whether root owns it; tests may run as anybody.
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(image, "OWNER", owner)
    return tmp_path / "images" / "nspawn"


def build_with(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    def argv(recipe: image.Recipe, target: Path) -> list[str]:
        return ["/bin/sh", "-c", script.format(root=target)]

    monkeypatch.setattr(image, "mmdebstrap_argv", argv)


def test_the_stacks_packages_are_in_the_image_and_in_its_name() -> None:
    bare, hadoop = image.recipe_for("debian-13", ()), image.recipe_for("debian-13", ("hadoop",))
    assert "default-jre-headless" in hadoop.packages
    assert set(bare.packages) < set(hadoop.packages)
    assert len({bare.digest, hadoop.digest, image.recipe_for("debian-12", ()).digest}) == 3


def test_an_unknown_image_is_bad_input_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="debian-99") as caught:
        image.recipe_for("debian-99", ())
    assert "debian-12, debian-13" in caught.value.hint


def test_mmdebstrap_is_told_suite_and_packages_and_no_mirror() -> None:
    argv = image.mmdebstrap_argv(RECIPE, Path("/target"))
    assert argv[:3] == ["setpriv", "--pdeathsig", "KILL"]
    assert argv[-3:] == ["--include=python3,systemd", "trixie", "/target"]
    assert not [word for word in argv if "://" in word]


def test_an_image_holds_nothing_of_the_build_machine(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_with(monkeypatch, BUILD)
    said: list[str] = []
    root = image.ensure(RECIPE, lambda host, step: said.append(step))
    assert root == cache / RECIPE.digest
    assert not (root / "etc/ssh/ssh_host_rsa_key").exists()
    assert (root / "etc/hostname").read_text() == "localhost\n"
    assert (root / "etc/machine-id").read_text() == ""
    assert not (root / "etc/resolv.conf").is_symlink()
    assert "PasswordAuthentication no" in (root / "etc/ssh/sshd_config.d/00-labctl.conf").read_text()
    assert (root / "etc/systemd/system/multi-user.target.wants/systemd-networkd.service").is_symlink()
    assert "image: doing it" in said
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert list(cache.iterdir()) == [root]


def test_an_image_is_built_once_however_many_ask(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_with(monkeypatch, BUILD + f"echo once >> {tmp_path}/builds; sleep 0.2\n")
    threads = [threading.Thread(target=image.ensure, args=(RECIPE, no_progress)) for _ in range(3)]
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
        image.ensure(RECIPE, no_progress)
    assert list(cache.iterdir()) == []
    assert not image.present(RECIPE.digest)


def test_what_a_killed_build_left_is_no_image_and_is_cleared(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / ".build-x" / "root").mkdir(parents=True)
    assert not image.present(RECIPE.digest)
    build_with(monkeypatch, BUILD)
    image.ensure(RECIPE, no_progress)
    assert [path.name for path in cache.iterdir()] == [RECIPE.digest]


def test_an_interrupted_build_ends_its_processes(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_with(monkeypatch, f"echo 'I: sleeping'; sleep 60 & echo $! > {tmp_path}/pid; echo 'I: again'; wait")

    def interrupt(host: str, step: str) -> None:
        if step == "image: again":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        image.ensure(RECIPE, interrupt)
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
