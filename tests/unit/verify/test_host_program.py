# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host's program decides: when a file is not read again, who listens, what an answer says."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils import filetree, verify, verify_files, verify_net
from ansible_collections.labctl.stacks.plugins.module_utils.verify import Look


class Box:
    """A role's manifest of one file, in a folder that stands for /var/lib/labctl."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "labctl"
        self.file = folder / "site.conf"
        self.file.write_text("one")
        self.file.chmod(0o644)
        (self.root / "manifest.d").mkdir(parents=True)
        record = {"path": str(self.file), "kind": "file", "mode": "0644", "sha256": sha(b"one")}
        self.write({"config_tree/main": {"files": [record]}})

    def write(self, sections: dict[str, Any], **more: Any) -> None:
        path = self.root / "manifest.d" / "web.json"
        path.write_text(json.dumps({"version": 1, "role": "web", "sections": sections, **more}))
        path.chmod(0o600)

    def look(self, seals: dict[str, str] | None = None) -> Look:
        look = Look({"seals": seals or {}}, str(self.root))
        look.run()
        return look


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is three seconds later than the files say."""
    now = time.time_ns
    monkeypatch.setattr(verify_files.time, "time_ns", lambda: now() + 3 * 10**9)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of files that were read."""
    paths: list[str] = []
    read = verify_files.read

    def noting(path: str, status: os.stat_result) -> bytes:
        paths.append(path)
        return read(path, status)

    monkeypatch.setattr(verify_files, "read", noting)
    return paths


def test_a_file_touched_a_moment_ago_is_read_each_time(box: Box, reads: list[str]) -> None:
    first = box.look()
    assert (first.drift, first.seals) == ([], {})
    assert str(box.file) in reads


def test_a_file_at_rest_is_read_once(box: Box, later: None, reads: list[str]) -> None:
    first = box.look()
    assert first.drift == []
    assert first.seals
    reads.clear()
    second = box.look(first.seals)
    assert str(box.file) not in reads
    assert (second.drift, second.seals) == ([], first.seals)


def test_a_time_in_the_future_is_never_at_rest(box: Box, later: None) -> None:
    os.utime(box.file, (2**33, 2**33))
    assert box.look().seals == {}


@pytest.mark.parametrize("change", ["content", "touch", "inode", "mode and back"])
def test_whatever_moves_a_files_state_has_it_read_again(box: Box, later: None, reads: list[str], change: str) -> None:
    seals = box.look().seals
    before = box.file.stat()
    if change == "content":
        box.file.write_text("two")
        os.utime(box.file, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "touch":
        os.utime(box.file)
    elif change == "inode":
        other = box.file.with_name("other")
        other.write_text("one")
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.chmod(0o644)
        other.rename(box.file)
    else:
        box.file.chmod(0o600)
        box.file.chmod(0o644)
    reads.clear()
    look = box.look(seals)
    assert str(box.file) in reads
    assert [drift[2:4] for drift in look.drift] == ([(str(box.file), "content")] if change == "content" else [])
    if change == "content":
        assert look.seals == {}, "what is wrong gets no seal"


def test_a_seal_is_no_word_for_another_digest(box: Box, later: None) -> None:
    seals = box.look().seals
    box.write({"config_tree/main": {"files": [{"path": str(box.file), "mode": "0644", "sha256": sha(b"two")}]}})
    assert [drift[3] for drift in box.look(seals).drift] == ["content"]


def test_modes_are_looked_at_also_under_a_seal(box: Box, later: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Look, "sealed", lambda *args: True)
    box.file.chmod(0o640)
    assert [drift[2:] for drift in box.look().drift] == [(str(box.file), "mode", "0644", "0640")]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ('{"version": 2, "role": "web", "sections": {}}', "newer labctl"),
        ('{"version": 0, "role": "web", "sections": {}}', "not a manifest"),
        ('{"version": 1, "role": "other", "sections": {}}', "of role other"),
        ('{"version": 1, "role": "web", "sections": {"a/main": {"files": [{}]}}}', "KeyError"),
        ('{"version": 1, "role": "web", "sections": {"a/main": {"files": [{"path": 1}]}}}', "without path or name"),
        ('{"version": 1, "role": "web", "sections": {"a/main": {"files": 1}}}', "TypeError"),
        ('{"version": 1, "role": "web", "sections"', "JSONDecodeError"),
        ("", "JSON"),
        ("[]", "TypeError"),
        ('{"version": 1, "role": "web", "sections": {}} x', "more than one"),
    ],
)
def test_a_manifest_that_is_none_is_drift(box: Box, document: str, words: str) -> None:
    (box.root / "manifest.d/web.json").write_text(document)
    drift = box.look().drift
    assert [one[:2] for one in drift] == [("web", "manifest")]
    assert words in drift[0][5]


def test_kinds_and_checks_of_a_newer_labctl_are_drift(box: Box) -> None:
    box.write(
        {"a/main": {"portals": [{"name": "x"}], "checks": [{"name": "y", "portal": 1}], "users": [{"name": "z"}]}}
    )
    told = {(drift[1], drift[3]) for drift in box.look().drift}
    assert told == {
        ("manifest", "kind portals is not known: made by a newer labctl"),
        ("check", "cannot be checked"),
        ("user", "cannot be checked"),
    }


def test_no_manifests_at_all_is_told_as_none(tmp_path: Path) -> None:
    look = Look({}, str(tmp_path))
    look.run()
    assert (look.drift, look.texts) == ([], {})


def test_a_secret_is_compared_under_the_hosts_key(box: Box, later: None) -> None:
    import hmac

    (box.root / "manifest.key").write_bytes(b"k" * 32)
    record = {"path": str(box.file), "secret": True, "hmac_sha256": hmac.new(b"k" * 32, b"one", "sha256").hexdigest()}
    box.write({"config_tree/main": {"files": [record]}})
    seals = box.look().seals
    assert seals
    assert box.look(seals).drift == []
    (box.root / "manifest.key").write_bytes(b"l" * 32)
    assert [drift[3] for drift in box.look(seals).drift] == ["content"]


TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0100007F:1F91 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st
   0: 0000000000000000FFFF00000200000A:1F40 00000000000000000000000000000000:0000 0A 0
"""


@pytest.mark.skipif(sys.byteorder == "big", reason="the text is a little-endian kernel's")
def test_listeners_are_read_from_the_kernels_table_and_connections_are_not() -> None:
    assert verify_net.listeners(TCP) == [(b"\x7f\0\0\1", 8080), (b"\0" * 4, 22)]
    assert verify_net.listeners(TCP6) == [(b"\0" * 10 + b"\xff\xff\n\0\0\2", 8000)]


def test_both_ways_to_ask_for_listeners_agree() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        mine = (b"\x7f\0\0\1", server.getsockname()[1])
        assert mine in verify_net.listeners(Path("/proc/net/tcp").read_text())
        assert mine in verify_net.diagnosed(socket.AF_INET)
    assert mine not in verify_net.diagnosed(socket.AF_INET)


def port_drift(box: Box, host: str, port: int) -> list[Any]:
    box.write({"ready/main": {"checks": [{"name": "it", "host": host, "port": port}]}})
    return [drift[1:4] for drift in box.look().drift]


def test_a_port_counts_as_ready_would_count_it(box: Box) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port_drift(box, "127.0.0.1", port) == []
        assert port_drift(box, "localhost", port) == []
        assert port_drift(box, "127.0.0.2", port) == [("check", "it", "port")], "it listens on another address"
    assert port_drift(box, "127.0.0.1", port) == [("check", "it", "port")]
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        assert port_drift(box, "127.0.0.1", server.getsockname()[1]) == []
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=False) as server:
        assert port_drift(box, "127.0.0.1", server.getsockname()[1]) == [("check", "it", "port")]


def test_names_are_looked_up_and_those_without_an_address_told(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    check = {"name": "peers", "names": ["here", "there", "localhost"]}
    box.write({"ready/main": {"checks": [check]}})
    text_of = verify_net.text_of
    hosts = "10.0.0.1 here\n10.0.0.2 also there # no elsewhere\n"
    monkeypatch.setattr(verify_net, "text_of", lambda path: hosts if path == "/etc/hosts" else text_of(path))
    look = box.look()
    assert (look.drift, look.skipped) == ([], []), "all are in /etc/hosts"
    check["names"] += ["elsewhere.invalid"]
    box.write({"ready/main": {"checks": [check]}})
    (drift,) = box.look().drift
    assert drift[1:] == ("check", "peers", "names", "resolved", "elsewhere.invalid cannot be")


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        ("127.0.0.1\tlocalhost\n10.0.0.1\tapi\n", []),
        ("10.0.0.1 head api\n10.0.0.1 api\n", []),
        ("127.0.0.1\tlocalhost\n", ["none"]),
        ("# 10.0.0.1 api\n", ["none"]),
        ("10.0.0.2\tapi\n", ["10.0.0.2"]),
        ("10.0.0.1\tapi\n10.0.0.2\tapi\n", ["10.0.0.1, 10.0.0.2"]),
    ],
)
def test_a_declared_name_has_its_one_address(
    box: Box, monkeypatch: pytest.MonkeyPatch, hosts: str, found: list[str]
) -> None:
    box.write({"system/main": {"host_names": [{"name": "api", "address": "10.0.0.1"}]}})
    text_of = verify_net.text_of
    monkeypatch.setattr(verify_net, "text_of", lambda path: hosts if path == "/etc/hosts" else text_of(path))
    expected = [("host_name", "api", "address", "10.0.0.1", one) for one in found]
    assert [drift[1:] for drift in box.look().drift] == expected


def test_a_port_of_a_name_that_only_a_server_knows_is_told_as_skipped(box: Box) -> None:
    box.write({"ready/main": {"checks": [{"name": "it", "host": "no.such.invalid", "port": 1}]}})
    look = box.look()
    assert (look.drift, look.skipped) == ([], ["it"])


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nhello", (200, "hello")),
        (
            b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\n wo\r\n0\r\n\r\n",
            (404, "hello wo"),
        ),
        (b"HTTP/1.0 204 \r\n\r\n", (204, "")),
    ],
)
def test_http_answers(raw: bytes, expected: tuple[int, str]) -> None:
    assert verify_net.http_answer(raw) == expected


@pytest.mark.parametrize("raw", [b"", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1\r\n\r\n"])
def test_no_http_answer_is_an_error(raw: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        verify_net.http_answer(raw)


@pytest.mark.parametrize(
    ("expected", "drift"),
    [
        ({"beans.0.n": 2}, False),
        ({"beans.0.n": "2"}, False),
        ({"beans.0.n": 3}, True),
        ({"beans.1.n": 2}, True),
        ({"a.b": "x"}, False),
        ({"ok": "True"}, False),
        ({"ok": False}, True),
        ({"none": None}, False),
    ],
)
def test_json_is_judged_as_ready_judges_it(box: Box, expected: dict[str, Any], drift: bool) -> None:
    look = box.look()
    body = '{"beans": [{"n": 2}], "a.b": "x", "ok": true, "none": null}'
    look.judge("check", "it", {"json": expected}, 200, body)
    assert bool(look.drift) == drift


@pytest.mark.parametrize(
    ("probe", "told"),
    [
        ({"argv": ["/bin/echo", "yes"], "stdout": "yes"}, []),
        ({"argv": ["/bin/echo", "yes"], "contains": "no"}, ["answer"]),
        ({"argv": ["/bin/false"]}, ["exit code"]),
        ({"argv": ["/bin/false"], "rc": 1}, []),
        ({"argv": ["/bin/sleep", "60"], "timeout": 0.1}, ["cannot be checked"]),
        ({"argv": ["/no/such/program"]}, ["cannot be checked"]),
        ({"url": "http://127.0.0.1:1/"}, ["answer"]),
        ({"spell": "abracadabra"}, ["cannot be checked"]),
    ],
)
def test_probes_of_product_modules(box: Box, probe: dict[str, Any], told: list[str]) -> None:
    box.write({"product/main": {"probes": [{"name": "it", **probe}]}})
    assert [drift[3] for drift in box.look().drift if drift[1] == "probe"] == told


@pytest.mark.parametrize(
    ("printed", "expected", "found"),
    [
        ("a 1\nb 3\nc 1", "b 2", "b 3"),
        ("a 1\nc 1", "b 2", "missing"),
        ("a 1\nb 2\nc 1\nd 1", "nothing else", "d 1"),
        ("c 1\\na 1\\nb 2", "a 1; b 2; c 1", "another order"),
        ("", "a 1; b 2; c 1", "missing"),
    ],
)
def test_of_an_answer_of_many_lines_those_that_differ_are_told(
    box: Box, printed: str, expected: str, found: str
) -> None:
    probe = {"name": "it", "argv": ["/usr/bin/printf", printed], "stdout": "a 1\nb 2\nc 1\n"}
    box.write({"product/main": {"probes": [probe]}})
    assert [drift[4:] for drift in box.look().drift if drift[1] == "probe"] == [(expected, found)]


@pytest.mark.parametrize("value", ['a"\\\n\u20ac\udcff', 1, 1.5, True, None, ["x", {"k": [1, None]}], {}, [], -3])
def test_json_is_written_and_read_as_json_does(value: Any) -> None:
    assert verify_files.dump(value) == json.dumps(value)
    assert verify_files.parse(json.dumps(value)) == value


def test_the_digest_of_a_section_is_that_of_config_tree() -> None:
    records = [
        {"path": "/etc/b", "mode": "0600", "owner": "root", "group": "root", "hmac_sha256": "ff"},
        {"path": "/etc/a\u20ac", "mode": "0644", "owner": "root", "group": "root", "sha256": "00"},
    ]
    assert verify_files.section_digest(records) == filetree.recorded_digest(records)


def test_every_kind_that_is_looked_at_has_its_look() -> None:
    for kind in verify.KINDS[0] + verify.KINDS[1]:
        assert callable(getattr(Look, f"see_{kind}"))
