# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: whose turn it is among the members of a replicated service.

In the lab folder, ``rolling/<service>/`` holds a lock, which a member has during its turn, and a *mark* for each member
that has begun a restart and has not been seen healthy since. A lock ends with its process, a mark does not: so a run
that is killed, or a member that does not come back, keeps the others from following it until that member works again.
With no mark left the folder goes.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import write_atomically
from ansible_collections.labctl.stacks.plugins.module_utils.paths import chown_to_caller
from ansible_collections.labctl.stacks.plugins.module_utils.probes import CHECKS, check_options
from ansible_collections.labctl.stacks.plugins.plugin_utils.bulk import make_private

LOCK = ".lock"
#: Seconds between two looks at whose turn it is.
PAUSE = 0.2
_SERVICE = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_SPEC = {
    "service": {"type": "str", "required": True},
    "checks": {**CHECKS, "required": True, "default": None},
    "timeout": {"type": "float", "default": 120},
}


@dataclass(frozen=True)
class Rolling:
    """What a unit's option ``rolling`` says: the service, its checks as ready takes them, seconds to wait for them."""

    service: str
    checks: list[dict[str, Any]]
    timeout: float


def rolling_units(units: Any) -> dict[str, Rolling]:
    """The units that have the option ``rolling``, by name. InputError naming the unit for what it cannot be."""
    found = {}
    for unit in units if isinstance(units, list) else []:
        given = unit.get("rolling") if isinstance(unit, dict) else None
        if not given:
            continue
        name = str(unit.get("name"))
        if not isinstance(given, Mapping):
            raise InputError(f"{name}: rolling is no dictionary", hint="give it service and checks")
        validated = ArgumentSpecValidator(_SPEC).validate(dict(given))
        problems = list(validated.error_messages)
        option = validated.validated_parameters
        if not problems and not _SERVICE.fullmatch(option["service"]):
            problems = [f"{option['service']!r} is not a service's name"]
        if not problems and not option["checks"]:
            problems = ["there are no checks, so nothing would tell a healthy service from another"]
        if problems:
            raise InputError(f"{name}: rolling: {'; '.join(problems)}", hint="see ansible-doc labctl.stacks.unit")
        check_options(option["checks"])
        found[name] = Rolling(option["service"], option["checks"], option["timeout"])
    return found


@dataclass(frozen=True)
class Mark:
    """Why a member is not known to work, which run said so, and whether that run has given it up."""

    why: str
    run: str
    failed: bool


class Turns:
    """One member's view of the turns of its service. ``run`` is the same for all members in one run of a playbook."""

    def __init__(
        self,
        lab_dir: Path,
        service: str,
        member: str,
        run: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.service = service
        self.member = member
        self.folder = lab_dir / "rolling" / service
        self.run = run
        self._clock = clock
        self._sleep = sleep

    def marks(self) -> dict[str, Mark]:
        """The members that are not known to work. A mark that cannot be read is one."""
        found = {}
        for path in sorted(self.folder.glob("[!.]*")):
            with suppress(FileNotFoundError):
                try:
                    kept = json.loads(path.read_bytes())
                    found[path.name] = Mark(str(kept["why"]), str(kept["run"]), bool(kept["failed"]))
                except (ValueError, TypeError, KeyError):
                    found[path.name] = Mark("its mark cannot be read", "", failed=True)
        return found

    @property
    def marked(self) -> bool:
        """Whether this member is one of them."""
        return self._mark.exists()

    def mark(self, why: str, *, failed: bool) -> None:
        """This member is not known to work from now on."""
        content = json.dumps({"why": why, "run": self.run, "failed": failed}).encode()
        while True:
            # Another member may tidy up at this moment.
            with suppress(FileNotFoundError):
                make_private(self.folder)
                write_atomically(self._mark, content)
                chown_to_caller(self._mark)
                return

    def clear(self) -> None:
        """This member works."""
        with suppress(FileNotFoundError):
            self._mark.unlink()
        self._tidy()

    def forget_strangers(self, members: Collection[str]) -> None:
        """Drop the marks of hosts that are none of the inventory's any more."""
        known = {_plain(member) for member in members}
        for member in self.marks():
            if member not in known:
                with suppress(FileNotFoundError):
                    (self.folder / member).unlink()

    @contextmanager
    def taken(self, playing: Collection[str], timeout: float) -> Iterator[None]:
        """Have the turn. A member that is marked itself is to be mended, so it need not wait for others that are.

        Another waits ``timeout`` seconds for marked members which this run may yet mend, those in ``playing``.
        ConvergeError naming the member in the way.
        """
        deadline = self._clock() + timeout
        hosts = {_plain(host) for host in playing}
        while True:
            with self._locked():
                others = {} if self.marked else self.marks()
                if not others:
                    yield
                    return
                hopeless = [
                    member
                    for member, mark in others.items()
                    if member not in hosts or (mark.failed and mark.run == self.run)
                ]
                if hopeless or self._clock() >= deadline:
                    raise self._in_the_way(*next((m, others[m]) for m in [*hopeless, *others]))
            self._sleep(PAUSE)

    def _in_the_way(self, member: str, mark: Mark) -> ConvergeError:
        return ConvergeError(
            f"{self.service} was not restarted on {self.member}, as it cannot spare another member: "
            f"on {member} {mark.why}",
            hint=f"mend {member}, whose journal may say more, and run again for {member} first or for all",
        )

    @property
    def trouble(self) -> str:
        """What a member of this run saw of a service that was not healthy before its turn; "" for nothing."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads((self.folder / LOCK).read_bytes())
            return str(kept["trouble"]) if kept["run"] == self.run else ""
        return ""

    def note_trouble(self, seen: str) -> None:
        """Keep, during the turn, what was seen, so that the members after this one need not wait as long for it."""
        (self.folder / LOCK).write_text(json.dumps({"run": self.run, "trouble": seen}) if seen else "")

    @property
    def _mark(self) -> Path:
        return self.folder / _plain(self.member)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock. Polled, because a blocking wait would keep Ansible from ending its worker in peace."""
        path = self.folder / LOCK
        while True:
            try:
                make_private(self.folder)
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            except FileNotFoundError:
                # Another member has tidied up at this moment.
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever had it may have taken it away since.
                if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
                    chown_to_caller(path)
                    try:
                        yield
                    finally:
                        self._tidy(held=True)
                    return
            except BlockingIOError:
                pass
            finally:
                os.close(descriptor)
            self._sleep(PAUSE)

    def _tidy(self, *, held: bool = False) -> None:
        """Take the folder away where nothing is left to keep."""
        lock = self.folder / LOCK
        with suppress(OSError):
            if held and not self.marks() and not lock.stat().st_size:
                lock.unlink()
            self.folder.rmdir()
            self.folder.parent.rmdir()


def _plain(host: str) -> str:
    """A host's name as one part of a path, as digest_path makes it."""
    return host.replace("/", "_").lstrip(".") or "_"
