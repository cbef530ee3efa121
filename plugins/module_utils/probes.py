# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what ready does: look at ports, HTTP answers and commands until all are as expected.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Outcome
from ansible_collections.labctl.stacks.plugins.module_utils.errors import CheckError, InputError

#: Seconds one look may take; a host that swallows packets must not eat the whole deadline.
ATTEMPT = 5.0
#: Bytes of an answer that are read, and characters of it that a message shows.
BODY, SHOWN = 4 * 1024 * 1024, 200
#: Equal to nothing that JSON can hold.
MISSING = object()

#: The argument_spec of a list of checks.
CHECKS: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "name": {"type": "str", "required": True},
        "port": {"type": "int"},
        "host": {"type": "str", "default": "127.0.0.1"},
        "url": {"type": "str"},
        "status": {"type": "int", "default": 200},
        "contains": {"type": "str", "default": ""},
        "json": {"type": "dict", "default": {}},
        "names": {"type": "list", "elements": "str", "default": []},
        "command": {"type": "list", "elements": "str", "default": []},
        "rc": {"type": "int", "default": 0},
    },
}


def check_options(checks: list[dict[str, Any]]) -> None:
    """InputError unless each check looks at one thing, has a name of its own, and no password in its URL.

    Checks are recorded in the manifest and shown in results.
    """
    names = [check["name"] for check in checks]
    for check in checks:
        name = check["name"]
        if sum(bool(check[kind]) for kind in ("port", "url", "names", "command")) != 1:
            raise InputError(
                f"check {name!r}: give exactly one of port, url, names and command", hint="make it two checks"
            )
        if any(not one or one.startswith("-") or set(one) & set(" \t\n") for one in check["names"]):
            raise InputError(f"check {name!r}: {check['names']} are no host names", hint="mend names")
        if names.count(name) > 1:
            raise InputError(f"check {name!r} is there twice", hint="give each check a name of its own")
        if check["url"]:
            parts = urllib.parse.urlsplit(check["url"])
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise InputError(f"check {name!r}: {check['url']!r} is no http or https address", hint="mend the url")
            if parts.username or parts.password:
                raise InputError(f"check {name!r}: a password in a url would be shown", hint="use a command instead")


def recorded(check: dict[str, Any]) -> dict[str, Any]:
    """What the manifest keeps of a check: what was given, with the host a port is looked at on."""
    wanted = ("name", "host", "port") if check["port"] else ("name", "url", "status", "contains", "json")
    if check["command"]:
        wanted = ("name", "command", "rc")
    if check["names"]:
        wanted = ("name", "names")
    return {key: check[key] for key in wanted if check[key] not in (None, "", {})}


def look(check: dict[str, Any], timeout: float) -> str:
    """Look once. "" when all is as expected, else what was seen, in a line of bounded length."""
    try:
        if check["port"]:
            return _port(check["host"], check["port"], timeout)
        if check["url"]:
            return _http(check, timeout)
        if check["names"]:
            return _names(check["names"], timeout)
        return _command(check["command"], check["rc"], timeout)
    except (OSError, http.client.HTTPException) as exc:
        return _told(check, exc)


def _told(check: dict[str, Any], exc: Exception) -> str:
    """An error of the network in words, with the address it came from."""
    reason = getattr(exc, "reason", exc)
    if isinstance(reason, ConnectionRefusedError):
        words = "connection refused"
    elif isinstance(reason, socket.timeout):
        words = "no answer"
    else:
        words = (getattr(reason, "strerror", None) or str(reason) or type(reason).__name__)[:SHOWN]
    if check["command"] or check["names"]:
        return f"{check['command'][0] if check['command'] else 'getent'}: {words}"
    where = f"{check['host']}:{check['port']}" if check["port"] else urllib.parse.urlsplit(check["url"]).netloc
    return f"{words} by {where}" if words == "connection refused" else f"{words} from {where}"


def _port(host: str, port: int, timeout: float) -> str:
    with socket.create_connection((host, port), timeout=timeout):
        return ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An answer is judged by its own status, so a redirection is an answer like any other."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _http(check: dict[str, Any], timeout: float) -> str:
    # A proxy of the environment is for the world outside, not for a service of the lab.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
    try:
        with opener.open(check["url"], timeout=timeout) as answer:
            status, body = answer.status, answer.read(BODY)
    except urllib.error.HTTPError as exc:
        with exc:
            status, body = exc.code, exc.read(BODY)
    text = body.decode(errors="replace")
    shown = " ".join(text.split())[:SHOWN]
    if status != check["status"]:
        return f"HTTP {status}: {shown}"
    if check["contains"] and check["contains"] not in text:
        return f"HTTP {status} without {check['contains']!r}: {shown}"
    return _json(check["json"], text, shown) if check["json"] else ""


def _json(expected: dict[str, Any], text: str, shown: str) -> str:
    try:
        document = json.loads(text)
    except ValueError:
        return f"not JSON: {shown}"
    for path, value in expected.items():
        seen = value_at(document, path.split("."))
        if seen is MISSING:
            return f"no {path} in the answer: {shown}"
        if not same(seen, value):
            return f"{path} is {json.dumps(seen)[:SHOWN]}, expected {json.dumps(value)[:SHOWN]}"
    return ""


def value_at(document: Any, parts: list[str]) -> Any:
    """The value at a dotted path; numbers index lists, and keys may hold dots themselves (as JMX attributes do)."""
    if not parts:
        return document
    if isinstance(document, list):
        index = parts[0]
        return value_at(document[int(index)], parts[1:]) if index.isdigit() and int(index) < len(document) else MISSING
    if isinstance(document, dict):
        for length in range(1, len(parts) + 1):
            key = ".".join(parts[:length])
            found = value_at(document[key], parts[length:]) if key in document else MISSING
            if found is not MISSING:
                return found
    return MISSING


def same(seen: Any, expected: Any) -> bool:
    """Equal, or equal as text: a template can make "2" of 2, and "true" of true."""
    if seen == expected and isinstance(seen, bool) == isinstance(expected, bool):
        return True
    texts = [value if isinstance(value, str) else json.dumps(value) for value in (seen, expected)]
    return texts[0] == texts[1] or texts[0].lower() == texts[1].lower() in ("true", "false")


def _command(argv: list[str], rc: int, timeout: float) -> str:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return f"{argv[0]}: not done after {timeout:.1f} s"
    if done.returncode == rc:
        return ""
    said = " ".join((done.stderr or done.stdout).decode(errors="replace").split())[-SHOWN:]
    return f"{argv[0]}: exit code {done.returncode}: {said}" if said else f"{argv[0]}: exit code {done.returncode}"


def _names(names: list[str], timeout: float) -> str:
    """By getent, as whatever the host's nsswitch.conf names may take its time.

    ahosts rather than hosts, which would ask a name server for IPv6 addresses of names in /etc/hosts.
    """
    try:
        argv = ["getent", "ahosts", *names]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer from the resolver after {timeout:.1f} s"
    found = done.stdout.decode(errors="replace").split()
    missing = [name for name in names if name not in found]
    return f"{', '.join(missing)[:SHOWN]} cannot be resolved" if done.returncode else ""


def until_ready(check: dict[str, Any], deadline: float, interval: float) -> str:
    """Look every ``interval`` seconds until all is well or the (monotonic) deadline has come; "" or the last seen."""
    while True:
        left = deadline - time.monotonic()
        # A command may need its time (a JVM's start); the network answers at once or not at all.
        seen = look(check, max(left, 0.1) if check["command"] or check["names"] else max(min(left, ATTEMPT), 0.1))
        if not seen or time.monotonic() + interval >= deadline:
            return seen
        time.sleep(interval)


def wait(checks: list[dict[str, Any]], timeout: float, interval: float) -> dict[str, str]:
    """Look at all checks side by side; what was last seen of those that did not get ready, by name."""
    deadline = time.monotonic() + timeout
    with ThreadPoolExecutor(max_workers=max(len(checks), 1)) as pool:
        seen = list(pool.map(lambda check: until_ready(check, deadline, interval), checks))
    return {check["name"]: words for check, words in zip(checks, seen) if words}  # noqa: B905 - Python 3.8


def present(call: Call) -> Outcome:
    """``state=present`` of ready: wait, then record the checks for the verifier. CheckError when the time is up.

    With ``record`` off nothing is recorded, and what an earlier call recorded stays.
    """
    checks, timeout, interval = (call.params[option] for option in ("checks", "timeout", "interval"))
    check_options(checks)
    begun = time.monotonic()
    pending = wait(checks, 0 if call.check else timeout, max(interval, 0.1))
    elapsed = round(time.monotonic() - begun, 1)
    outcome = Outcome(values={"elapsed": elapsed, "ready": not pending, "pending": pending})
    if pending and not call.check:
        told = [f"  {name}: {words}, for {elapsed} s" for name, words in pending.items()]
        raise CheckError(
            "\n".join([f"not ready after {elapsed} s", *told]),
            hint="look at the journal of the service, or give it more time by timeout",
        )
    if call.params["record"]:
        call.record_later({"checks": [recorded(check) for check in checks]})
    return outcome


def absent(call: Call) -> Outcome:
    """``state=absent``: the checks are forgotten."""
    call.record_later(None)
    return Outcome(values={"elapsed": 0.0, "ready": True, "pending": {}})
