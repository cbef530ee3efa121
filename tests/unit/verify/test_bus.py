# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How units' states are read from systemd's own socket, and that systemctl is asked wherever that does not work.

The server here is a double of systemd: it speaks as much D-Bus as the question needs.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils import verify_bus as bus

STATES = {
    "LoadState": ("s", "loaded"),
    "ActiveState": ("s", "active"),
    "SubState": ("s", "running"),
    "UnitFileState": ("s", "enabled"),
    "FragmentPath": ("s", "/etc/systemd/system/web.service"),
    "DropInPaths": ("as", ["/etc/a.conf", "/run/systemd/b.conf"]),
    "NeedDaemonReload": ("b", True),
    "InvocationID": ("ay", bytes(range(16))),
    "MainPID": ("u", 4711),
}
SHOWN = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "UnitFileState": "enabled",
    "FragmentPath": "/etc/systemd/system/web.service",
    "DropInPaths": "/etc/a.conf /run/systemd/b.conf",
    "NeedDaemonReload": "yes",
    "InvocationID": "000102030405060708090a0b0c0d0e0f",
    "MainPID": "4711",
}
SYSTEMCTL = {"LoadState": "loaded", "ActiveState": "told by systemctl"}


def variant(kind: str, content: object) -> bytes:
    head = bus.padded(bytes((len(kind),)) + kind.encode() + b"\0", 4)
    if isinstance(content, list):
        rows = b""
        for text in content:
            rows = bus.padded(rows, 4) + bus.string(text)
        return head + bus.number(len(rows)) + rows
    if isinstance(content, bytes):
        return head + bus.number(len(content)) + content
    return head + (bus.string(content) if isinstance(content, str) else bus.number(int(content)))  # type: ignore[call-overload]


def answer(kind: int, serial: int, body: bytes) -> bytes:
    fields = b"\x05\x01u\0" + bus.number(serial) + b"\x08\x01g\0\x01v\0"
    fields = bus.padded(fields, 8) + b"\x07\x01s\0" + bus.string("org.freedesktop.systemd1")
    head = b"l" + bytes((kind, 0, 1)) + bus.number(len(body)) + bus.number(99) + bus.number(len(fields))
    return bus.padded(head + fields, 8) + body


def question(data: bytes) -> tuple[int, str]:
    """Serial and property of a call."""
    _, _, body = bus.message(data)
    size = bus.at_(body, 0)
    place = 5 + size + 3 & ~3
    return bus.at_(data, 8), body[place + 4 : place + 4 + bus.at_(body, place)].decode()


Reply = Callable[[list[tuple[int, str]]], bytes]


def usual(calls: list[tuple[int, str]]) -> bytes:
    return b"".join(answer(bus.RETURN, serial, variant(*STATES[wanted])) for serial, wanted in calls)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Callable[..., str]]:
    threads = []

    def start(reply: Reply = usual, hello: bytes = b"OK 1234\r\n") -> str:
        path = str(tmp_path / "private")
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()

        def serve() -> None:
            one, _ = server.accept()
            with server, one:
                data = b""
                while b"BEGIN\r\n" not in data:
                    data += one.recv(1 << 16)
                assert data.startswith(b"\0AUTH EXTERNAL 30\r\n")
                data, calls = data.partition(b"BEGIN\r\n")[2], []
                while len(calls) < len(bus.PROPERTIES):
                    while len(data) < 16 or len(data) < bus.length(data):
                        data += one.recv(1 << 16)
                    size = bus.length(data)
                    calls.append(question(data[:size]))
                    data = data[size:]
                one.sendall(hello + reply(calls))

        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        return path

    yield start
    for thread in threads:
        thread.join(5)


@pytest.fixture(autouse=True)
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = "".join(f"{name}={value}\\n" for name, value in SYSTEMCTL.items())
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\nprintf '{told}'\n")
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def test_each_kind_of_value_reads_as_systemctl_shows_it(systemd: Callable[..., str]) -> None:
    assert bus.Units(["web.service"], systemd()).states() == {"web.service": SHOWN}


def test_answers_may_come_in_any_order_and_among_other_messages(systemd: Callable[..., str]) -> None:
    def shuffled(calls: list[tuple[int, str]]) -> bytes:
        signal = answer(4, 0, variant("s", "something else"))
        return signal + usual(calls[::-1][:4]) + signal + usual(calls[::-1][4:])

    assert bus.Units(["web.service"], systemd(shuffled)).states() == {"web.service": SHOWN}


def without(*missing: str) -> Reply:
    def reply(calls: list[tuple[int, str]]) -> bytes:
        return b"".join(
            answer(bus.ERROR, serial, variant("s", "no such property"))
            if wanted in missing
            else usual([(serial, wanted)])
            for serial, wanted in calls
        )

    return reply


def test_a_unit_that_is_no_service_has_no_process(systemd: Callable[..., str]) -> None:
    states = bus.Units(["data.mount"], systemd(without("MainPID"))).states()
    assert states == {"data.mount": {name: value for name, value in SHOWN.items() if name != "MainPID"}}


@pytest.mark.parametrize(
    "options",
    [
        {"reply": without("SubState")},
        {"reply": without("MainPID")},
        {"reply": lambda calls: usual(calls[:-1])},
        {"reply": lambda calls: b"nothing like D-Bus at all"},
        {"reply": lambda calls: answer(bus.RETURN, 1, variant("d", 1)) + usual(calls[1:])},
        {"hello": b"REJECTED\r\n"},
    ],
    ids=["no property", "a service without", "cut short", "noise", "unknown type", "refused"],
)
def test_whatever_goes_wrong_systemctl_is_asked(systemd: Callable[..., str], options: dict[str, object]) -> None:
    assert bus.Units(["web.service"], systemd(**options)).states() == {"web.service": SYSTEMCTL}


def test_without_the_socket_systemctl_is_asked(tmp_path: Path) -> None:
    assert bus.Units(["web.service"], str(tmp_path / "none")).states() == {"web.service": SYSTEMCTL}


@pytest.mark.parametrize(
    ("name", "path"),
    [("web.service", "web_2eservice"), ("9p.mount", "_39p_2emount"), ("a@b-ü.service", "a_40b_2d_c3_bc_2eservice")],
)
def test_names_stand_in_paths_as_systemd_writes_them(name: str, path: str) -> None:
    assert bus.label(name) == path
