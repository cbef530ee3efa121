# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof of an export, against commands that stand in for libnfs's; the real ones run in molecule/nfs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.modules.nfs_smoke import SmokeError, is_sealed, owners_in, sealed, smoke

#: Each takes its URL apart to a file below $STORE, as a server without a network would.
COMMANDS = {
    "nfs-cp": 'url=${2%%\\?*}; cp "$1" "$STORE/${url##*/}"',
    "nfs-cat": 'url=${1%%\\?*}; cat "$STORE/${url##*/}"',
    "nfs-ls": 'for f in "$STORE"/*; do echo "-rw-r--r--  1 ${OWNER:-65534} 65534 $(stat -c %s $f) ${f##*/}"; done',
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    for name, script in COMMANDS.items():
        path = tmp_path / "bin" / name
        path.write_text(f'#!/bin/sh\nset -e\necho "$@" >> "$STORE.log"\n{script}\n')
        path.chmod(0o755)
    folder = tmp_path / "store"
    folder.mkdir()
    monkeypatch.setenv("STORE", str(folder))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return folder


def params(**more: Any) -> dict[str, Any]:
    plain = {"server": "head", "port": 2049, "export": "/shared", "mount": "", "write": "", "size": 1000, "read": []}
    return {**plain, "root_squash": True, "timeout": 20, **more}


def test_what_is_written_is_read_back_and_told(store: Path) -> None:
    result = smoke(params(write="one"))
    assert result["owner"] == "65534:65534"
    assert "wrote 1032 bytes to head:/shared and read them back, by nfs-cp" in result["report"][0]
    (written,) = store.iterdir()
    assert is_sealed(written.name, written.read_bytes())
    assert f"nfs://head/shared/{written.name}?version=4" in store.with_name("store.log").read_text()
    assert smoke(params(read=["one"]))["report"][0].endswith("read what 1 others wrote there, equal byte by byte")
    smoke(params(write="one"))
    assert len(list(store.iterdir())) == 2, "no name is used twice"


def test_anothers_damaged_or_missing_file_is_no_proof(store: Path) -> None:
    whole = sealed("one-1", b"body")
    for content in (whole[:-1], b"x" + whole, b"", sealed("two-1", b"body")):
        (store / "one-1").write_bytes(content)
        with pytest.raises(SmokeError, match="head:/shared: one-1 is not what another client wrote"):
            smoke(params(read=["one"]))
    with pytest.raises(SmokeError, match=r"head:/shared: there is no tw-\*"):
        smoke(params(read=["tw"]))
    (store / "one-2").write_bytes(sealed("one-2", b"body"))
    smoke(params(read=["one"]))


@pytest.mark.usefixtures("store")
def test_root_that_stays_root_is_told_where_it_must_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWNER", "0")
    with pytest.raises(SmokeError, match=r"takes root of .* for its own root"):
        smoke(params(write="one"))
    assert smoke(params(write="one", root_squash=False))["owner"] == "0:65534"


def test_a_command_that_fails_says_why(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (store.parent / "bin/nfs-cp").write_text("#!/bin/sh\necho 'Failed to open dest file: NFS4ERR_ACCESS' >&2\n")
    with pytest.raises(SmokeError, match="NFS4ERR_ACCESS"):
        smoke(params(write="one"))
    (store.parent / "bin/nfs-cp").unlink()
    monkeypatch.setenv("PATH", str(store.parent / "bin"))
    with pytest.raises(SmokeError, match="nfs-cp is not installed; install libnfs-utils"):
        smoke(params(write="one"))


def test_a_servers_time_of_grace_is_waited_for(store: Path) -> None:
    script = (store.parent / "bin/nfs-cp").read_text()
    once = '[ -e "$STORE.once" ] || { touch "$STORE.once"; echo "Failed to creat: NFS4ERR_GRACE(-5)" >&2; exit 10; }\n'
    (store.parent / "bin/nfs-cp").write_text(script.replace("set -e\n", f"set -e\n{once}"))
    assert smoke(params(write="one"))["owner"] == "65534:65534"
    (store.parent / "bin/nfs-cp").write_text("#!/bin/sh\necho 'Failed to creat: NFS4ERR_GRACE(-5)' >&2; exit 10\n")
    with pytest.raises(SmokeError, match="NFS4ERR_GRACE"):
        smoke(params(write="one", timeout=1))


def test_another_port_is_part_of_the_address(store: Path) -> None:
    smoke(params(write="one", port=12049))
    assert "nfs://head:12049/shared/one-" in store.with_name("store.log").read_text()


def test_a_folder_where_nothing_is_mounted_proves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SmokeError, match="nothing is mounted at"):
        smoke(params(mount=str(tmp_path), write="one"))


def test_owners_are_read_from_the_listing() -> None:
    listing = "drwxrwxrwt  2     0     0         4096 .\n-rw-r--r--  1  1000  1001           12 a b\nnonsense\n"
    assert owners_in(listing) == {".": "0:0", "a b": "1000:1001"}
