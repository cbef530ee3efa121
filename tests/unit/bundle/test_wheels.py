# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl as wheels: what it depends on, and its own as it was installed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
from labctl.lab.bundle import wheels


def test_the_closure_holds_what_labctl_needs_at_the_installed_versions_and_no_tools_of_development() -> None:
    found = wheels.closure()
    assert found["ansible-core"] == metadata.version("ansible-core")
    assert {"jinja2", "cffi", "pydantic-core", "pexpect", "zstandard"} <= found.keys()
    assert not {"labctl", "pytest", "ruff", "cyclonedx-python-lib"} & found.keys()


def test_the_wheels_are_filed_under_versions_and_interpreter() -> None:
    (source,) = wheels.wheels().sources
    assert isinstance(source, wheels.WheelsSource)
    other = wheels.WheelsSource(where=source.where, versions=(*source.versions, ("more", "1")))
    assert source.key != other.key
    assert source.entries() is None
    assert {part["purl"] for part in source.inputs()} >= {f"pkg:pypi/pyyaml@{metadata.version('pyyaml')}"}


def installed(folder: Path) -> metadata.Distribution:
    """A pure Python package as pip installs it, with what pip adds."""
    info = folder / "thing-1.0.dist-info"
    for path, text in {
        "thing/__init__.py": "answer = 42\n",
        "thing/__pycache__/__init__.cpython-311.pyc": "compiled",
        "thing-1.0.dist-info/METADATA": "Metadata-Version: 2.4\nName: thing\nVersion: 1.0\n",
        "thing-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "thing-1.0.dist-info/entry_points.txt": "[console_scripts]\nthing = thing:main\n",
        "thing-1.0.dist-info/INSTALLER": "pip\n",
        "thing-1.0.dist-info/direct_url.json": '{"url": "file:///secret/place"}',
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    listed = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    (info / "RECORD").write_text("\n".join(f"{name},," for name in [*listed, "../../bin/thing"]))
    return metadata.PathDistribution(info)


def test_a_wheel_of_what_is_installed_can_be_installed_and_is_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = wheels._repacked(installed(tmp_path / "site"), tmp_path / "a")
    second = wheels._repacked(installed(tmp_path / "site"), tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    names = zipfile.ZipFile(first).namelist()
    assert sorted(names) == [
        *(f"thing-1.0.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")),
        "thing/__init__.py",
    ]
    right = first.with_name("thing-1.0-py3-none-any.whl")
    first.rename(right)
    target = ["--target", str(tmp_path / "target"), "--no-index", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *target, str(right)], check=True)
    assert (tmp_path / "target/thing/__init__.py").read_text() == "answer = 42\n"


def test_what_pip_did_not_install_is_an_error(tmp_path: Path) -> None:
    info = tmp_path / "thing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: thing\nVersion: 1.0\n")
    with pytest.raises(PreflightError, match="not installed by pip"):
        wheels._repacked(metadata.PathDistribution(info), tmp_path)
