# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what systemd says of units, in one call, and what it is told to do.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.labctl.stacks.plugins.module_utils.bulk import command
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError

PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "FragmentPath",
    "DropInPaths",
    "NeedDaemonReload",
    "InvocationID",
    "Type",
    "RemainAfterExit",
    "Result",
)
#: How long a unit that says it is active must stay so: Type=simple is active before its program has even read a file.
SETTLE = 0.3
JOURNAL_LINES = 20


@dataclass(frozen=True)
class UnitState:
    """One unit, as ``systemctl show`` tells it; see systemctl(1) and org.freedesktop.systemd1(5) for the words."""

    load: str = "not-found"
    active: str = "inactive"
    sub: str = "dead"
    file_state: str = ""
    fragment: str = ""
    drop_ins: tuple[str, ...] = ()
    needs_reload: bool = False
    ends: bool = False
    result: str = "success"
    #: Another one after each start, by whoever it was; "" for a unit that does not run.
    invocation: str = ""

    @property
    def masked(self) -> bool:
        return self.load == "masked" or self.file_state.startswith("masked")

    @property
    def enabled(self) -> bool:
        return self.file_state in ("enabled", "alias", "indirect", "linked")

    @property
    def up(self) -> bool:
        """Running, or for a unit that does its work and ends (oneshot): done, with success."""
        if self.ends and self.active == "inactive":
            return self.result == "success"
        return self.active in ("active", "reloading", "refreshing")

    @property
    def down(self) -> bool:
        return self.active in ("inactive", "failed")

    @property
    def starting(self) -> bool:
        """On its way up, and not because it has failed and is tried again."""
        return self.active in ("activating", "reloading") and self.sub != "auto-restart"

    @property
    def words(self) -> str:
        """For a message."""
        return f"{self.active} ({self.sub}), result {self.result}"


def parse_show(text: str, names: list[str]) -> dict[str, UnitState]:
    """The answer of ``systemctl show``, a block per unit in the order asked, as states by name."""
    states = {}
    blocks = text.strip("\n").split("\n\n") if names else []
    for name, block in zip(names, blocks):  # noqa: B905 - zip has no strict before Python 3.10
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        states[name] = UnitState(
            load=values.get("LoadState", ""),
            active=values.get("ActiveState", ""),
            sub=values.get("SubState", ""),
            file_state=values.get("UnitFileState", ""),
            fragment=values.get("FragmentPath", ""),
            drop_ins=tuple(sorted(values.get("DropInPaths", "").split())),
            needs_reload=values.get("NeedDaemonReload") == "yes",
            ends=values.get("Type") == "oneshot" and values.get("RemainAfterExit") == "no",
            result=values.get("Result", "success"),
            invocation=values.get("InvocationID", ""),
        )
    if len(states) != len(names):
        raise ConvergeError(f"systemctl show told of {len(states)} units, asked for {len(names)}")
    return states


class Systemd:
    """The client: each method is one call of systemctl, and none when there is nothing to call it for."""

    def show(self, names: list[str]) -> dict[str, UnitState]:
        """The state of each unit; unknown ones are ``not-found``."""
        if not names:
            return {}
        return parse_show(command(["systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", *names]), names)

    def tell(self, verb: str, names: list[str], *options: str, timeout: float = 600) -> None:
        """``systemctl VERB NAMES``; ConvergeError with what it said if it fails."""
        if names or verb == "daemon-reload":
            command(["systemctl", *options, verb, "--", *names] if names else ["systemctl", verb], timeout=timeout)

    def started_at(self, name: str) -> int:
        """When a running unit was started, in nanoseconds of the clock that files have; 0 where it is not known.

        It is the age of the link to the invocation, which systemd keeps for each running unit: its own time stamps are
        of a coarser or of another clock.
        """
        try:
            return Path("/run/systemd/units", f"invocation:{name}").lstat().st_ctime_ns
        except OSError:
            return 0

    def journal(self, name: str, since: float) -> list[str]:
        """The last lines a unit wrote since a time (seconds of the epoch), each cut to a bearable length."""
        argv = ["journalctl", "--quiet", "--no-pager", "--output=cat", f"--since=@{int(since)}", "-u", name]
        lines = command([*argv, f"--lines={JOURNAL_LINES}"], check=False).splitlines()
        return [line[:300] for line in lines[-JOURNAL_LINES:]]

    def wait_up(self, names: list[str], deadline: float) -> dict[str, UnitState]:
        """The states of units once all are up and stay so, or one has failed, or the (monotonic) deadline has come."""
        settled = 0.0
        while True:
            states = self.show(names)
            now = time.monotonic()
            if all(state.up for state in states.values()):
                if settled and now - settled >= SETTLE:
                    return states
                settled = settled or now
            else:
                settled = 0.0
                if now >= deadline or not all(state.up or state.starting for state in states.values()):
                    return states
            time.sleep(0.1)


def failure(name: str, state: UnitState, lines: list[str]) -> str:
    """A unit that did not come up, with the end of its journal, in a person's words."""
    text = f"{name} did not come up: {state.words}"
    said = [f"    {line}" for line in lines]
    return "\n".join([text, "  the end of its journal:", *said]) if said else text
