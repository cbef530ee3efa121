# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the verifier's look at systemd units; see verify.py.

systemd is asked through its own socket, the one that systemctl uses as root, for exactly the properties that are
looked at. systemctl asks for all of a unit's hundreds, and starting it costs as much again: for three units that is
15 ms of processor time against 5. Whatever does not work as expected, systemctl is asked instead.

The messages are D-Bus's (https://dbus.freedesktop.org/doc/dbus-specification.html), as far as they are needed here.
Runs on hosts, sent by labctl: standard library only, Python 3.8 and newer, and of that only what is quick to import.
"""

from __future__ import annotations

import _socket
import time

from ansible_collections.labctl.stacks.plugins.module_utils.verify_net import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PRIVATE = "/run/systemd/private"
#: Seconds for all answers.
ANSWER = 10.0
PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "FragmentPath",
    "DropInPaths",
    "NeedDaemonReload",
    "InvocationID",
    "MainPID",
)
#: Kinds of messages.
RETURN, ERROR = 2, 3


class Units:
    """The states of units. Making it sends the question; systemd works on the answer until it is read."""

    def __init__(self, names: list[str], socket: str = PRIVATE) -> None:
        self.names = names
        self.asked = [(name, wanted) for name in names for wanted in PROPERTIES]
        self.deadline = time.monotonic() + ANSWER
        self.bus: Any = None
        self.program: Program | None = None
        try:
            self.bus = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            self.bus.settimeout(ANSWER)
            self.bus.connect(socket)
            calls = (call(at + 1, *one) for at, one in enumerate(self.asked))
            # "30" is the user 0 in hex digits, as the handshake wants it.
            self.bus.sendall(b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n" + b"".join(calls))
        except OSError:
            self.ask_systemctl()

    def ask_systemctl(self) -> None:
        """Ask the program instead."""
        self.bus.close()
        self.bus = None
        argv = ["systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", *self.names]
        self.program = Program(argv, ANSWER)

    def states(self) -> dict[str, dict[str, str]]:
        """Name -> property -> value, in systemctl's words. ValueError or TimeoutError without an answer."""
        if self.bus is not None:
            try:
                return self.heard()
            except (OSError, ValueError, IndexError):
                self.ask_systemctl()
        assert self.program is not None  # noqa: S101 - one of the two was asked
        blocks = self.program.wait()[1].strip("\n").split("\n\n")
        if len(blocks) != len(self.names):
            raise ValueError(f"systemctl told of {len(blocks)} units, asked for {len(self.names)}")
        values = [dict(line.split("=", 1) for line in block.split("\n") if "=" in line) for block in blocks]
        return dict(zip(self.names, values))  # noqa: B905 - Python 3.8

    def heard(self) -> dict[str, dict[str, str]]:
        """What systemd answers on its socket."""
        data = b""
        while b"\r\n" not in data:
            data += self.more()
        line, _, data = data.partition(b"\r\n")
        if not line.startswith(b"OK "):
            raise ValueError("not let in")
        found: dict[str, dict[str, str]] = {name: {} for name in self.names}
        left = set(range(len(self.asked)))
        while left:
            while len(data) < 16 or len(data) < length(data):
                data += self.more()
            size = length(data)
            kind, serial, body = message(data[:size])
            data = data[size:]
            if serial - 1 not in left:
                continue
            left.discard(serial - 1)
            name, wanted = self.asked[serial - 1]
            if kind == RETURN:
                found[name][wanted] = value(body)
            elif kind != ERROR or wanted != "MainPID" or name.endswith(".service"):
                raise ValueError(f"no {wanted} of {name}")
        self.bus.close()
        return found

    def more(self) -> bytes:
        """The next bytes."""
        self.bus.settimeout(max(0.01, self.deadline - time.monotonic()))
        chunk: bytes = self.bus.recv(1 << 16)
        if not chunk:
            raise OSError("systemd closed its socket")
        return chunk


def label(name: str) -> str:
    """A unit's name as part of an object path (sd_bus_path_encode(3))."""
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    digits = b"0123456789"
    return "".join(
        chr(one) if one in plain or (at and one in digits) else f"_{one:02x}" for at, one in enumerate(name.encode())
    )


def call(serial: int, name: str, wanted: str) -> bytes:
    """The message that asks for one property of a unit."""
    kind = "Service" if wanted == "MainPID" else "Unit"
    body = padded(string(f"org.freedesktop.systemd1.{kind}"), 4) + string(wanted)
    path = f"/org/freedesktop/systemd1/unit/{label(name)}"
    fields = b""
    for code, text in (
        (b"\x01\x01o\0", path),
        (b"\x02\x01s\0", "org.freedesktop.DBus.Properties"),
        (b"\x03\x01s\0", "Get"),
    ):
        fields = padded(fields, 8) + code + string(text)
    fields = padded(fields, 8) + b"\x08\x01g\0\x02ss\0"
    return padded(b"l\x01\0\x01" + number(len(body)) + number(serial) + number(len(fields)) + fields, 8) + body


def padded(data: bytes, to: int) -> bytes:
    """Filled up to a multiple."""
    return data + b"\0" * (-len(data) % to)


def number(what: int) -> bytes:
    """A u, little-endian."""
    return what.to_bytes(4, "little")


def string(text: str) -> bytes:
    """An s or o."""
    raw = text.encode()
    return number(len(raw)) + raw + b"\0"


def at_(data: bytes, place: int) -> int:
    """The u at a place; IndexError where the data ends before."""
    if place + 4 > len(data):
        raise IndexError(place)
    return int.from_bytes(data[place : place + 4], "little")


def length(data: bytes) -> int:
    """Of a message whose first 16 bytes are there. ValueError for what is none of systemd's."""
    if data[:1] != b"l" or data[3] != 1:
        raise ValueError("not D-Bus")
    return 16 + (at_(data, 12) + 7 & ~7) + at_(data, 4)


def message(data: bytes) -> tuple[int, int, bytes]:
    """Kind, serial of the call that it answers (0 for none), and body."""
    stop, place, serial = 16 + at_(data, 12), 16, 0
    while place < stop:
        place = place + 7 & ~7
        code, size = data[place], data[place + 1]
        kind = data[place + 2 : place + 2 + size]
        place += 3 + size
        if kind == b"g":
            place += 2 + data[place]
            continue
        place = place + 3 & ~3
        if code == 5:
            serial = at_(data, place)
        if kind == b"u":
            place += 4
        elif kind in (b"s", b"o"):
            place += 5 + at_(data, place)
        else:
            raise ValueError(f"a header field of type {kind!r}")
    return data[1], serial, data[stop + 7 & ~7 :]


def value(body: bytes) -> str:
    """A variant's value, in the words in which systemctl shows it."""
    kind = body[1 : 1 + body[0]]
    place = 2 + body[0] + 3 & ~3
    count = at_(body, place)
    content = body[place + 4 : place + 4 + count]
    if kind == b"b":
        return "yes" if count else "no"
    if kind == b"u":
        return str(count)
    if kind not in (b"s", b"ay", b"as") or len(content) != count:
        raise ValueError(f"a value of type {kind!r}")
    if kind == b"s":
        return content.decode()
    if kind == b"ay":
        return content.hex()
    words, place = [], 0
    while place < len(content):
        place = place + 3 & ~3
        size = at_(content, place)
        words.append(content[place + 4 : place + 4 + size].decode())
        place += 5 + size
    return " ".join(words)
