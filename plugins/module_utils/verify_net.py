# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the verifier's look at ports, HTTP answers and programs, all at once; see verify.py.

Runs on hosts, sent by labctl: standard library only, Python 3.8 and newer, and of that only what is quick to import.
"""

from __future__ import annotations

import _socket
import os
import select
import sys
import time

from ansible_collections.labctl.stacks.plugins.module_utils.verify_files import (
    SHOWN,
    Files,
    dump,
    parse,
    text_of,
    words,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Seconds for answers of the network and of probes.
ANSWER = 2.0
#: Bytes of an answer that are read.
BODY = 4 << 20
#: What value_at gives for no value; equal to nothing in JSON.
MISSING = object()


class Answers(Files):
    """Checks of ready, and probes of product modules."""

    network: Network
    programs: dict[int, Program]

    def begin(self, kind: str, record: dict[str, Any]) -> None:
        """Set a check or probe on its way. What goes wrong here is told when it is looked at."""
        try:
            if record.get("url", "").startswith("http://"):
                self.network.begin(record, *self.network.parts(record["url"]))
            elif "port" in record:
                address = self.network.address(record["host"])
                if address is not None and address not in self.network.own:
                    self.network.begin(record, address, int(record["port"]), b"")
            elif "names" in record:
                strangers = [name for name in record["names"] if self.network.address(name) is None]
                if strangers:
                    self.programs[id(record)] = Program(["getent", "ahosts", *strangers], ANSWER)
            elif kind == "probes" and "argv" in record:
                self.programs[id(record)] = Program(record["argv"], float(record.get("timeout", ANSWER)))
        except Exception as exc:  # noqa: BLE001, RUF100
            self.network.seen[id(record)] = words(exc)

    def see_probes(self, record: dict[str, Any], name: str) -> None:
        """What a product module recorded: ``argv`` with ``rc`` and ``stdout`` or ``contains``, or as checks are.

        ``timeout`` of the program in seconds, 2 unless given.
        """
        if "argv" not in record:
            self.see_checks(record, name, "probe")
            return
        if id(record) not in self.programs:
            raise ValueError(self.network.seen.get(id(record)))
        code, output = self.programs[id(record)].wait()
        self.compare("probe", name, "exit code", record.get("rc", 0), code)
        if "stdout" in record:
            wanted, found = record["stdout"].strip().split("\n"), output.strip().split("\n")
            # Of many lines those that differ: a probe may tell a line of each of many things.
            lost, new = [line for line in wanted if line not in found], [line for line in found if line not in wanted]
            if lost or new:
                self.tell(
                    "probe",
                    name,
                    "answer",
                    "; ".join(lost) or "nothing else",
                    "; ".join(filter(None, new)) or "missing",
                )
            elif wanted != found:
                self.tell("probe", name, "answer", "; ".join(wanted), "another order")
        if record.get("contains", "") not in output:
            self.tell("probe", name, "answer", f"with {record['contains']}", output.strip())

    def see_checks(self, record: dict[str, Any], name: str, kind: str = "check") -> None:
        """What ready waited for. Commands are left out: they may cost what they like."""
        if "port" in record:
            seen = self.port(record["host"], int(record["port"]), record, name)
            if seen:
                self.tell(kind, name, "port", "listening", seen)
        elif record.get("url", "").startswith("http://"):
            self.network.pump(self.network.deadline)
            if id(record) in self.network.seen:
                self.tell(kind, name, "answer", "one", self.network.seen[id(record)])
            else:
                status, body = http_answer(self.network.answers[id(record)])
                self.judge(kind, name, record, status, body)
        elif "url" in record:
            self.judge(kind, name, record, *https_answer(record["url"]))
        elif "names" in record:
            self.see_names(record, name, kind)
        elif "command" in record:
            self.skipped.append(name)
        else:
            raise ValueError("not a check that is known: made by a newer labctl")

    def see_names(self, record: dict[str, Any], name: str, kind: str) -> None:
        """Names that must resolve: by /etc/hosts, or whatever else this host asks for those that are not in it."""
        if id(record) in self.network.seen:
            raise ValueError(self.network.seen[id(record)])
        if id(record) in self.programs:
            code, output = self.programs[id(record)].wait()
            if code:
                known = output.split()
                lost = [one for one in record["names"] if self.network.address(one) is None and one not in known]
                self.tell(kind, name, "names", "resolved", f"{', '.join(lost)} cannot be")

    def port(self, host: str, port: int, record: dict[str, Any], name: str) -> str:
        """Nothing when the port takes connections. Of an address of our own the kernel's table is asked."""
        address = self.network.address(host)
        if address is None:
            self.skipped.append(name)
            return ""
        if address in self.network.own:
            listening = self.network.listening
            mapped = b"\0" * 10 + b"\xff\xff" + address
            if {(address, port), (b"\0" * len(address), port), (mapped, port)} & listening:
                return ""
            if len(address) == 16 or (b"\0" * 16, port) not in listening:
                return "not listening"
            # The IPv6 wildcard may or may not take IPv4 as well, and the table does not tell.
            self.network.begin(record, address, port, b"")
        self.network.pump(self.network.deadline)
        return self.network.seen.get(id(record), "")

    def judge(self, kind: str, name: str, record: dict[str, Any], status: int, body: str) -> None:
        """Compare an HTTP answer as ready does."""
        shown = " ".join(body.split())
        self.compare(kind, name, "status", record.get("status", 200), status)
        if record.get("contains", "") not in body:
            self.tell(kind, name, "answer", f"with {record['contains']}", shown)
        expected = record.get("json") or {}
        document = parse(body) if expected else None
        for path, value in expected.items():
            found = value_at(document, path.split("."))
            seen = "missing" if found is MISSING else found
            texts = [one if isinstance(one, str) else dump(one) for one in (seen, value)]
            same = texts[0] == texts[1] or texts[0].lower() == texts[1].lower() in ("true", "false")
            if found is MISSING or not same:
                self.tell(kind, name, path, texts[1], texts[0])


class Program:
    """A running program whose output is read later. Without subprocess, which takes longer to import than most run."""

    def __init__(self, argv: list[str], timeout: float) -> None:
        self.name = argv[0]
        self.deadline = time.monotonic() + timeout
        self.output, writing = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
        try:
            environment = {**os.environ, "LC_ALL": "C"}
            self.pid = os.posix_spawnp(argv[0], argv, environment, file_actions=actions, setpgroup=0)
        finally:
            os.close(writing)
            os.close(null)

    def wait(self) -> tuple[int, str]:
        """Exit code and output, once it has closed its output. TimeoutError, after ending it, when its time is up."""
        text = b""
        waiting = select.poll()
        waiting.register(self.output, select.POLLIN | select.POLLHUP)
        while waiting.poll(max(0, self.deadline - time.monotonic()) * 1000):
            chunk = os.read(self.output, 65536)
            text += chunk[: BODY - len(text)]
            if not chunk:
                status = os.waitpid(self.pid, 0)[1]
                return (-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)), text.decode(
                    errors="replace"
                )
        os.killpg(self.pid, 9)
        raise TimeoutError(f"{self.name} gave no answer in time")


class Network:
    """Connections and HTTP requests, all at once and without waiting until :meth:`pump` is told to."""

    def __init__(self) -> None:
        self.deadline = time.monotonic() + ANSWER
        self.seen: dict[int, str] = {}
        self.answers: dict[int, bytes] = {}
        self._open: dict[int, tuple[int, Any, bytes]] = {}
        self._poll = select.poll()
        self._cached: dict[str, Any] = {}

    @property
    def own(self) -> set[bytes]:
        """This host's addresses."""
        if "own" not in self._cached:
            own, last = {b"\0" * 4, b"\0" * 16}, ""
            for line in text_of("/proc/net/fib_trie").splitlines():
                if line.endswith("/32 host LOCAL"):
                    own.add(_socket.inet_pton(_socket.AF_INET, last))
                last = line.rpartition(" ")[2]
            if os.path.exists("/proc/net/if_inet6"):  # noqa: PTH110
                own |= {bytes.fromhex(line.split()[0]) for line in text_of("/proc/net/if_inet6").splitlines()}
            self._cached["own"] = own
        own_addresses: set[bytes] = self._cached["own"]
        return own_addresses

    @property
    def listening(self) -> set[tuple[bytes, int]]:
        """Addresses and ports that take connections."""
        if "listening" not in self._cached:
            try:
                self._cached["listening"] = set(diagnosed(_socket.AF_INET) + diagnosed(_socket.AF_INET6))
            except (OSError, ValueError):
                tables = [path for path in ("/proc/net/tcp", "/proc/net/tcp6") if os.path.exists(path)]  # noqa: PTH110
                self._cached["listening"] = {one for path in tables for one in listeners(text_of(path))}
        found: set[tuple[bytes, int]] = self._cached["listening"]
        return found

    @property
    def hosts(self) -> dict[str, list[str]]:
        """Name -> its addresses in /etc/hosts. Of several the first counts."""
        if "hosts" not in self._cached:
            self._cached["hosts"] = {}
            for line in text_of("/etc/hosts").splitlines():
                fields = line.partition("#")[0].split()
                for name in fields[1:]:
                    self._cached["hosts"].setdefault(name, []).append(fields[0])
        found: dict[str, list[str]] = self._cached["hosts"]
        return found

    def address(self, host: str) -> bytes | None:
        """The address of a literal or of a name in /etc/hosts; None for a name only a server could know."""
        for family in (_socket.AF_INET, _socket.AF_INET6):
            try:
                return bytes(_socket.inet_pton(family, host))
            except OSError:
                continue
        if host == "localhost":
            return b"\x7f\0\0\1"
        literal = self.hosts.get(host, [""])[0]
        return self.address(literal) if literal and literal != host else None

    def parts(self, url: str) -> tuple[bytes | None, int, bytes]:
        """Address, port and request of an http URL."""
        place, _, path = url[7:].partition("/")
        place, mark, query = place.partition("?")
        host, _, port = place.rpartition(":") if not place.endswith("]") and ":" in place else (place, "", "80")
        target = f"/?{query}" if mark else f"/{path.partition('#')[0]}"
        request = f"GET {target} HTTP/1.0\r\nHost: {place}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        return self.address(host.strip("[]")), int(port), request.encode()

    def begin(self, record: dict[str, Any], address: bytes | None, port: int, request: bytes) -> None:
        """Connect, and send ``request`` when connected."""
        if address is None:
            raise ValueError("its host is not in /etc/hosts")
        family = _socket.AF_INET if len(address) == 4 else _socket.AF_INET6
        one = _socket.socket(family, _socket.SOCK_STREAM)
        one.setblocking(False)
        one.connect_ex((_socket.inet_ntop(family, address), port))
        self._open[one.fileno()] = (id(record), one, request)
        self._poll.register(one.fileno(), select.POLLOUT)

    def pump(self, until: float) -> None:
        """Serve the connections until all are done or the (monotonic) moment has come; then what is left has failed."""
        last = until >= self.deadline
        if last:
            # Whatever came before took long; what answers at once must still be heard.
            until = max(until, time.monotonic() + 0.2)
        while self._open:
            events = self._poll.poll(max(0.0, until - time.monotonic()) * 1000)
            for number, _ in events:
                self._serve(number, *self._open[number])
            if not events:
                break
        if last:
            for number, (ident, _, _) in list(self._open.items()):
                self._close(number, ident, "no answer in time")

    def _serve(self, number: int, ident: int, one: Any, request: bytes) -> None:
        try:
            if ident not in self.answers:
                error = one.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
                if error:
                    raise OSError(error, os.strerror(error))
                self.answers[ident] = b""
                if not request:
                    self._close(number, ident, "")
                    return
                one.send(request)
                self._poll.modify(number, select.POLLIN)
                return
            chunk = one.recv(65536)
            self.answers[ident] += chunk
            if not chunk or len(self.answers[ident]) > BODY:
                self._close(number, ident, "")
        except OSError as exc:
            self._close(number, ident, words(exc))

    def _close(self, number: int, ident: int, seen: str) -> None:
        self._poll.unregister(number)
        self._open.pop(number)[1].close()
        if seen:
            self.seen[ident] = seen


def diagnosed(family: int) -> list[tuple[bytes, int]]:
    """Address and port of the listening sockets of a family, from the kernel by sock_diag(7).

    /proc/net/tcp tells the same, after walking the table of all connections, which takes 8 ms of CPU even when empty.
    """
    import struct

    found: list[tuple[bytes, int]] = []
    # struct nlmsghdr, inet_diag_req_v2: SOCK_DIAG_BY_FAMILY, REQUEST|DUMP, TCP, only state LISTEN (10).
    request = struct.pack("=IHHIIBBBxI48x", 72, 20, 0x301, 1, 0, family, _socket.IPPROTO_TCP, 0, 1 << 10)
    netlink = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 4)
    try:
        netlink.settimeout(1)
        netlink.send(request)
        while True:
            data, at = netlink.recv(1 << 16), 0
            while at < len(data):
                length, kind = struct.unpack_from("=IH", data, at)
                if kind == 3:
                    return found
                if kind != 20:
                    raise ValueError("netlink error")
                # struct inet_diag_msg: four bytes, then inet_diag_sockid in network order.
                size = 4 if data[at + 16] == _socket.AF_INET else 16
                port = int.from_bytes(data[at + 20 : at + 22], "big")
                found.append((data[at + 24 : at + 24 + size], port))
                at += (length + 3) & ~3
    finally:
        netlink.close()


def listeners(text: str) -> list[tuple[bytes, int]]:
    """Address and port of the listening sockets in /proc/net/tcp or tcp6 (proc_pid_net(5); host byte order)."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 3 and fields[3] == "0A":
            words_, _, port = fields[1].partition(":")
            raw = bytes.fromhex(words_)
            if sys.byteorder == "little":
                raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
            found.append((raw, int(port, 16)))
    return found


def http_answer(raw: bytes) -> tuple[int, str]:
    """Status and body of an answer to HTTP/1.0; ValueError for what is none."""
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not lines[0].startswith("HTTP/"):
        raise ValueError(f"no HTTP answer: {lines[0][:SHOWN]}")
    if any(line.lower().replace(" ", "") == "transfer-encoding:chunked" for line in lines):
        rest, body = body, b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size.partition(b";")[0], 16)
            body, rest = body + rest[:length], rest[length + 2 :] if length else b""
    return int(lines[0].split()[1]), body.decode(errors="replace")


def https_answer(url: str) -> tuple[int, str]:
    """The same over TLS, verified against the host's own authorities, as ready does. The imports take 50 ms."""
    import urllib.error
    import urllib.request

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: Any, **kwargs: Any) -> None:
            return None

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect())
    try:
        with opener.open(url, timeout=ANSWER) as answer:
            return answer.status, answer.read(BODY).decode(errors="replace")
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read(BODY).decode(errors="replace")


def value_at(document: Any, parts: list[str]) -> Any:
    """The value at a dotted path, as in ready: numbers index lists, keys may hold dots. MISSING for none."""
    if not parts:
        return document
    if isinstance(document, list):
        index = parts[0]
        return value_at(document[int(index)], parts[1:]) if index.isdigit() and int(index) < len(document) else MISSING
    for length in range(1, len(parts) + 1) if isinstance(document, dict) else ():
        key = ".".join(parts[:length])
        found = value_at(document[key], parts[length:]) if key in document else MISSING
        if found is not MISSING:
            return found
    return MISSING
