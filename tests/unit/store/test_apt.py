# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How apt is asked, and what is understood of its answers. Scripts stand for mmdebstrap and apt-get."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store.apt import Apt
from ansible_collections.labctl.stacks.plugins.module_utils.store.debs import Deb

MMDEBSTRAP = """#!/bin/sh
echo "$@" > "$LABCTL_TO/asked"
mkdir -p "$LABCTL_TO/root/etc/apt/sources.list.d"
echo 'deb [signed-by="/usr/share/keyrings/x.gpg"] http://archive.test/debian trixie main' \\
  > "$LABCTL_TO/root/etc/apt/sources.list"
cd "$LABCTL_TO/root/etc/apt/sources.list.d"
printf 'Types: deb\\nSigned-By:\\n -----BEGIN\\n key\\nSuites: trixie\\n' > x.sources
echo 'Dir "/tmp/mmdebstrap.xyz"; Dir::State::Status "/tmp/mmdebstrap.xyz/status";' > "$LABCTL_TO/apt.conf"
"""
APT_GET = """#!/bin/sh
echo "$APT_CONFIG $*" >> "{log}"
case "$*" in *print-uris*)
echo "'http://archive.test/z.deb' zlib1g_1%3a1.3-1_amd64.deb 88720 SHA256:{zeros}"
echo "W: something else"
esac
{more}
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    program(folder, "mmdebstrap", MMDEBSTRAP)
    return folder


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def apt_get(tools: Path, more: str = "") -> Path:
    log = tools.parent / "log"
    program(tools, "apt-get", APT_GET.format(log=log, zeros="0" * 64, more=more))
    return log


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    return Apt("trixie", "amd64", tmp_path / "apt", lambda step, done, total: None)


def test_apt_works_below_its_own_folder_with_mmdebstraps_sources_and_no_mirror_of_ours(tools: Path, apt: Apt) -> None:
    log = apt_get(tools)
    apt.prepare()
    asked = (apt.folder / "asked").read_text()
    assert "--architectures=amd64" in asked
    assert asked.split()[-2:] == ["trixie", "-"]
    assert "://" not in asked
    assert "xyz" not in (apt.folder / "apt.conf").read_text()
    assert f'Dir "{apt.root}"' in (apt.folder / "apt.conf").read_text()
    assert log.read_text() == f"{apt.folder}/apt.conf update --error-on=any\n"


def test_lists_of_sources_say_nothing_of_this_machines_keys(tools: Path, apt: Apt) -> None:
    apt_get(tools)
    apt.prepare()
    assert apt.sources() == {
        "sources.list": "deb http://archive.test/debian trixie main\n",
        "sources.list.d/x.sources": "Types: deb\nSuites: trixie\n",
    }


def test_a_plan_is_what_apt_would_fetch_with_its_digests(tools: Path, apt: Apt) -> None:
    log = apt_get(tools)
    apt.prepare()
    (item,) = apt.plan(["sudo", "curl"])
    assert item == ("zlib1g_1%3a1.3-1_amd64.deb", 88720, "0" * 64, Deb("zlib1g", "1:1.3-1", "amd64"))
    asked = log.read_text().splitlines()[-1]
    assert "Acquire::ForceHash=sha256" in asked
    assert asked.endswith("?or(?essential,?priority(required))) apt curl sudo")


def test_versions_that_are_gone_are_all_named(tools: Path, apt: Apt) -> None:
    apt_get(tools)
    apt.prepare()
    lines = "E: Version '1.0-1' for 'curl' was not found\\nE: Unable to locate package old\\n"
    apt_get(tools, f'printf "{lines}"; exit 100')
    with pytest.raises(PreflightError, match=r"does not have curl 1\.0-1, old") as caught:
        apt.exactly([Deb("curl", "1.0-1", "amd64"), Deb("old", "1", "all")])
    assert "bundle" in caught.value.hint


def test_a_failure_says_what_apt_says(tools: Path, apt: Apt) -> None:
    apt_get(tools, "echo 'E: The repository is not signed.'; exit 100")
    with pytest.raises(PreflightError, match="apt-get failed for trixie: The repository is not signed"):
        apt.prepare()


def test_a_missing_program_is_named_with_its_package(tools: Path, apt: Apt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    with pytest.raises(PreflightError, match="mmdebstrap is not installed") as caught:
        apt.prepare()
    assert caught.value.hint == "apt-get install mmdebstrap"
