# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ssh files of a lab."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import threading
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ProviderError
from ansible_collections.labctl.stacks.plugins.module_utils.providers import ssh

ID = "0123456789abcdef"


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where master sockets go, instead of the machine's."""
    monkeypatch.setattr(ssh, "CONTROL_ROOT", tmp_path / "run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


def effective(config: Path, host: str) -> dict[str, str]:
    """What ssh itself makes of a configuration."""
    said = subprocess.run(["ssh", "-G", "-F", str(config), host], check=True, capture_output=True, text=True).stdout
    return dict(line.split(" ", 1) for line in said.splitlines() if " " in line)


def test_ssh_understands_the_configuration_by_name_and_address(tmp_path: Path, runtime: Path) -> None:
    lab_dir = tmp_path / "my 100% lab" / ".labctl"
    common = ("User root", f"IdentityFile {ssh.quoted(lab_dir / 'ssh' / 'id_ed25519')}", "StrictHostKeyChecking yes")
    text = ssh.config_text(
        ID, [ssh.Target("head", "10.1.2.2"), ssh.Target("worker1", "10.1.2.3", ("Port 2222",))], common
    )
    ssh.write_client_files(lab_dir, "", text)
    for name in ("head", "10.1.2.2"):
        seen = effective(lab_dir / "ssh" / "config", name)
        assert (seen["hostname"], seen["user"], seen["port"]) == ("10.1.2.2", "root", "22")
        assert seen["identityfile"] in (
            f"{lab_dir}/ssh/id_ed25519",
            f"{str(lab_dir).replace('%', '%%')}/ssh/id_ed25519",
        )
        assert seen["stricthostkeychecking"] in ("true", "yes")
        assert seen["controlpersist"] == "600"
    assert effective(lab_dir / "ssh" / "config", "worker1")["port"] == "2222"


def test_a_control_socket_fits_into_a_socket_address() -> None:
    path = f"{ssh.control_dir(ID, 4294967295)}/{'f' * 40}.{'x' * 16}"
    assert len(path) <= 107 or os.geteuid() != 0


def test_known_hosts_has_name_and_address() -> None:
    text = ssh.known_hosts_text({"b": ("10.1.2.3", "ssh-ed25519 BBB"), "a": ("10.1.2.2", "ssh-ed25519 AAA")})
    assert text == "a,10.1.2.2 ssh-ed25519 AAA\nb,10.1.2.3 ssh-ed25519 BBB\n"


def test_the_labs_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    public = ssh.lab_key(tmp_path / ".labctl")
    folder = tmp_path / ".labctl" / "ssh"
    assert public.startswith("ssh-ed25519 ")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "id_ed25519").stat().st_mode) == 0o600
    assert ssh.lab_key(tmp_path / ".labctl") == public


def test_half_a_key_pair_is_made_anew(tmp_path: Path) -> None:
    old = ssh.lab_key(tmp_path)
    (tmp_path / "ssh" / "id_ed25519").unlink()
    new = ssh.lab_key(tmp_path)
    assert new != old
    told = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(tmp_path / "ssh" / "id_ed25519")], check=True, capture_output=True, text=True
    )
    assert told.stdout.split()[:2] == new.split()[:2]


def test_control_folders_are_private_and_someone_elses_are_refused(runtime: Path) -> None:
    ssh.make_control_dirs(ID)
    folder = ssh.control_dir(ID, os.geteuid())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    ssh.make_control_dirs(ID)
    folder.chmod(0o777)
    with pytest.raises(ProviderError, match="belongs to somebody else"):
        ssh.make_control_dirs(ID)


def test_closing_leaves_no_socket_and_other_labs_alone(runtime: Path) -> None:
    other = "fedcba9876543210"
    for lab_id in (ID, other):
        ssh.make_control_dirs(lab_id)
        (ssh.control_dir(lab_id, os.geteuid()) / "stale").touch()
    assert ssh.close_masters(ID) == 1
    assert not ssh.control_dir(ID, os.geteuid()).exists()
    assert (ssh.control_dir(other, os.geteuid()) / "stale").exists()
    assert ssh.close_masters(ID) == 0


@pytest.mark.parametrize(
    ("greeting", "expected"), [(b"SSH-2.0-test\r\n", True), (b"HTTP/1.1 400\r\n", False), (b"", False)]
)
def test_only_an_ssh_greeting_counts_as_ready(greeting: bytes, expected: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            connection.sendall(greeting)
            connection.close()

        thread = threading.Thread(target=greet)
        thread.start()
        assert ssh.banner("127.0.0.1", server.getsockname()[1]) is expected
        thread.join()


def test_waiting_ends_when_the_host_dies() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert not ssh.banner("127.0.0.1", port)
    assert not ssh.wait_for_banner("127.0.0.1", float("inf"), lambda: False, port=port)
