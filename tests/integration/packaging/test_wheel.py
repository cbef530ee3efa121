# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One wheel holds the command and the collection, and an editable install behaves the same without a copy of it.

Installed into a fresh environment with the dependencies from the package index, as a user would.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


def command(argv: list[str], where: Path, *, home: Path) -> str:
    """Run something away from the checkout, with nothing of this environment's Python or Ansible settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTHON", "VIRTUAL_"))}
    environment = {**kept, "HOME": str(home), "NO_COLOR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    # The cache of downloads is the user's own, so that a test costs the index nothing twice.
    environment.setdefault("PIP_CACHE_DIR", str(Path("~/.cache/pip").expanduser()))
    done = subprocess.run(argv, cwd=where, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


class Installed:
    """An environment with labctl in it, used from an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "venv" / "bin"
        self.home = folder / "home"
        self.home.mkdir()
        command([sys.executable, "-m", "venv", str(folder / "venv")], folder, home=self.home)

    def pip(self, *args: str) -> None:
        command([str(self.bin / "python"), "-m", "pip", *args], self.home, home=self.home)

    def run(self, program: str, *args: str) -> str:
        return command([str(self.bin / program), *args], self.home, home=self.home)

    @property
    def copied(self) -> list[Path]:
        """Files of the collection that stand in the environment itself; the folders alone are no copy."""
        packages = self.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        return [path for path in Path(packages, "ansible_collections/labctl").rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone would hold, with the changes that are not committed yet."""
    target = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source = REPOSITORY / name
        if source.is_symlink() or source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name, follow_symlinks=False)
    return target


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps"]
    command([*build, "--wheel-dir", str(out), str(checkout)], out, home=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    made = Installed(tmp_path_factory.mktemp("installed"))
    import ansible
    import hatchling.__about__

    made.pip("install", "--quiet", f"hatchling=={hatchling.__about__.__version__}")
    made.pip("install", "--quiet", f"ansible-core=={ansible.__version__}", str(wheel))
    return made


def behaves(installed: Installed) -> None:
    """What a user does first finds the command, the roles, the modules and the catalogue."""
    version = (REPOSITORY / "galaxy.yml").read_text().split("version: ")[1].split()[0]
    assert version in installed.run("labctl", "version")
    assert "labctl.stacks.hdfs" in installed.run("ansible-doc", "-t", "role", "labctl.stacks.hdfs")
    assert "MODULE labctl.stacks.artifact" in installed.run("ansible-doc", "labctl.stacks.artifact")
    assert "INVENTORY labctl.stacks.nspawn" in installed.run("ansible-doc", "-t", "inventory", "labctl.stacks.nspawn")
    script = (
        "from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue;"
        "print(len(catalogue('hadoop').sources[0].entries()))"
    )
    assert int(installed.run("python", "-c", script)) > 150


def test_wheel_holds_the_collection_and_nothing_of_the_workshop(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    collection = "ansible_collections/labctl/stacks"
    for expected in ("galaxy.yml", "artifacts/hadoop.yml", "artifacts/hadoop/webapps/hdfs/WEB-INF/web.xml", "LICENSE"):
        assert f"{collection}/{expected}" in names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"labctl", "ansible_collections"}
    workshop = ("/tests/", "/.dev/", "/.git", "/.venv/", "__pycache__", "/.labctl/")
    assert [name for name in names if any(part in name for part in workshop)] == []


def test_wheel_from_an_index_install_is_found_by_ansible_and_by_the_shell(installed: Installed) -> None:
    behaves(installed)
    assert any(path.name == "galaxy.yml" for path in installed.copied)


def test_editable_install_behaves_the_same_and_follows_the_checkout(installed: Installed, checkout: Path) -> None:
    installed.pip("uninstall", "--quiet", "--yes", "labctl")
    assert installed.copied == []
    installed.pip("install", "--quiet", "--no-build-isolation", "--no-deps", "--editable", str(checkout))
    behaves(installed)
    assert installed.copied == []
    module = checkout / "plugins/modules/artifact.py"
    module.write_text(
        module.read_text().replace("short_description: Install pinned", "short_description: Bring pinned")
    )
    assert "Bring pinned artefact" in installed.run("ansible-doc", "--list", "labctl.stacks")
