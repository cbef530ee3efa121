# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: what unit does: a set of systemd units, written, enabled and running on what is written.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Change, Outcome
from ansible_collections.labctl.stacks.plugins.module_utils.errors import ConvergeError, InputError
from ansible_collections.labctl.stacks.plugins.module_utils.fileops import sha256
from ansible_collections.labctl.stacks.plugins.module_utils.filetree import decoded, recorded_digest
from ansible_collections.labctl.stacks.plugins.module_utils.managed_files import FileSpec, ManagedFiles
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import ABSENT, Manifest
from ansible_collections.labctl.stacks.plugins.module_utils.systemd import Systemd, UnitState, failure

FOLDER = Path("/etc/systemd/system")
#: Where an administrator's drop-ins are. A change in one is a change of the unit's text.
DROP_IN_FOLDERS = (FOLDER, Path("/run/systemd/system"))
DONE = {"start": "started", "restart": "restarted", "stop": "stopped"}
_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(service|socket|timer|path|mount|automount|swap|target|slice)")


class NotUpError(ConvergeError):
    """Units that were started and did not come up; their names are in the module's result too."""

    def __init__(self, message: str, names: list[str]) -> None:
        super().__init__(
            message, hint=f"mend what the journal says and run again; on the host: journalctl -u {names[0]}"
        )
        self.values = {"not_up": names}


@dataclass(frozen=True)
class UnitSpec:
    """A unit as it shall be; without ``content`` it is the distribution's, and only its state is ours."""

    name: str
    content: bytes | None = field(repr=False)
    enabled: bool
    started: bool

    @property
    def template(self) -> bool:
        """A template has a file and no state of its own."""
        return "@." in self.name

    @property
    def file(self) -> FileSpec:
        return FileSpec(str(FOLDER / self.name), self.content or b"")


def unit_specs(options: list[dict[str, Any]]) -> list[UnitSpec]:
    """The ``units`` option as specs. InputError for what cannot be a unit."""
    specs: list[UnitSpec] = []
    for option in options:
        name, encoded = option["name"], option["content_b64"]
        content = None if encoded is None else decoded(name, encoded)
        spec = UnitSpec(name, content, bool(option["enabled"]), option["state"] == "started")
        if not _NAME.fullmatch(name) or name in (".", ".."):
            raise InputError(
                f"{name!r} is not a unit's name", hint="give it with its suffix, as in hdfs-namenode.service"
            )
        if name in {other.name for other in specs}:
            raise InputError(f"{name} is declared twice", hint="declare it once")
        if content is not None and spec.enabled and not spec.template and b"[Install]" not in content:
            raise InputError(
                f"{name} cannot be enabled: it has no [Install] section", hint="add one, or set enabled: false"
            )
        specs.append(spec)
    return specs


def text_digest(spec: UnitSpec, specs: list[UnitSpec]) -> str:
    """sha256 over a unit's text, or its template's, and an administrator's drop-ins; "" where there is neither."""
    template = re.sub(r"@[^.]*\.", "@.", spec.name)
    texts = [other.content for other in specs if other.name in (spec.name, template) and other.content is not None]
    for folder in DROP_IN_FOLDERS:
        for name in sorted({template, spec.name}):
            texts += [path.read_bytes() for path in sorted((folder / f"{name}.d").glob("*.conf")) if path.is_file()]
    return sha256(b"\0".join(texts)) if texts else ""


def changed_since(record: dict[str, Any], moment: int, manifest: Manifest) -> bool:
    """Whether a managed file changed after a moment (nanoseconds), or has not the content that is recorded."""
    try:
        if Path(record["path"]).lstat().st_ctime_ns >= moment:
            return True
    except OSError:
        return True
    content = read_or_empty(record["path"])
    if record.get("secret"):
        return manifest.hmac(content, create=False) != str(record["hmac_sha256"])
    return sha256(content) != str(record["sha256"])


def read_or_empty(path: str) -> bytes:
    """A file's content; b"" where there is none, which is what a masked unit's is too."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


class Units:
    """Plan and apply one section's units."""

    def __init__(
        self,
        call: Call,
        specs: list[UnitSpec],
        config_digest: str,
        timeout: float,
        systemd: Systemd,
        hold: frozenset[str] = frozenset(),
    ) -> None:
        self.call = call
        self.specs = specs
        self.timeout = timeout
        self.systemd = systemd
        self.files = ManagedFiles(call, [spec.file for spec in specs if spec.content is not None])
        self.todo: dict[str, list[str]] = {
            verb: [] for verb in ("unmask", "mask", "enable", "reenable", "disable", "start", "restart", "stop")
        }
        #: Units that are due for a restart and wait for their turn among the members of their service.
        self.held: list[str] = []
        self.reload = False
        self._hold = hold
        self._old = call.manifest.records(call.key, "units")
        self._gone: dict[str, dict[str, Any]] = {}
        self._befores: dict[str, Any] = {}
        self._runs_on = {spec.name: {"text": text_digest(spec, specs), "config": config_digest} for spec in specs}
        self._states: dict[str, UnitState] = {}

    @property
    def _live(self) -> list[UnitSpec]:
        return [spec for spec in self.specs if not spec.template]

    def plan(self) -> list[Change]:
        """Compare with the host; one call of systemctl."""
        declared = {spec.name for spec in self.specs}
        for name, record in self._old.items():
            if name not in declared and not self.call.manifest.owners("units", name, excluding=self.call.key):
                self._gone[name] = record
        names = [spec.name for spec in self._live] + [name for name in self._gone if "@." not in name]
        self._states = self.systemd.show(names)
        changes = self.files.plan()
        self.reload = bool(changes)
        written = {write.spec.path for write in self.files.writes if write.new_content}
        for spec in self._live:
            changes += self._plan_unit(spec, self._states[spec.name], str(FOLDER / spec.name) in written)
        for name, record in self._gone.items():
            changes += self._plan_removal(name, record.get("before", ABSENT))
        return changes

    def _plan_unit(self, spec: UnitSpec, state: UnitState, written: bool) -> list[Change]:
        observed = ABSENT if state.load == "not-found" else {"enabled": state.file_state, "active": state.active}
        self._befores[spec.name] = self.call.manifest.before(self.call.key, "units", spec.name, observed)
        changes = []
        if spec.content is None:
            self._check_distribution_unit(spec, state)
            if state.masked:
                self.todo["unmask"].append(spec.name)
                changes.append(Change(spec.name, "masked", "unmasked"))
        if state.needs_reload and not self.reload:
            self.reload = True
            changes.append(Change(spec.name, "changed on disk since it was loaded", "reloaded"))
        if spec.enabled != state.enabled:
            verb = "enable" if spec.enabled else "disable"
            if spec.enabled or state.file_state.startswith(("enabled", "linked")):
                self.todo[verb].append(spec.name)
                changes.append(Change(spec.name, state.file_state or "not enabled", f"{verb}d"))
        elif spec.enabled and written:
            # The links that enabling makes follow from the text.
            self.todo["reenable"].append(spec.name)
        verb, why = self._run_verb(spec, state, written)
        if verb:
            (self.held if verb == "restart" and spec.name in self._hold else self.todo[verb]).append(spec.name)
            changes.append(Change(spec.name, why, DONE[verb]))
        return changes

    def _run_verb(self, spec: UnitSpec, state: UnitState, written: bool) -> tuple[str, str]:
        """What must be done to a unit's process and why; ("", "") for nothing."""
        if not spec.started:
            return ("", "") if state.down else ("stop", state.active)
        now, then = self._runs_on[spec.name], self._started_on(spec.name)
        never = then is None and (state.ends or now != {"text": "", "config": ""})
        if not state.up or (state.ends and never):
            return "start", state.active
        if written or never or (then is not None and now != then):
            return ("start" if state.ends else "restart"), "running on an older text or configuration"
        if self._restarted_on_something_else(spec, state):
            return "restart", "started by another, on files that were changed since"
        return "", ""

    def _restarted_on_something_else(self, spec: UnitSpec, state: UnitState) -> bool:
        """Whether somebody else started it since, on files of the role that were touched after that, or are to be.

        Somebody edits a file, restarts the unit, and labctl puts the file back, or they do: the digests are as they
        were, the process is not. A reboot, or systemd after a crash, starts it on the files that are there, and all is
        well. In check mode config_tree has not repaired them yet, so one that is not as recorded is to be touched.
        """
        known = self._old.get(spec.name, {}).get("invocation", "")
        if state.ends or not known or known == state.invocation:
            return False
        started = self.systemd.started_at(spec.name)
        return any(
            changed_since(record, started, self.call.manifest)
            for role, _, section in self.call.manifest.everything()
            if role == self.call.manifest.role
            for record in section.get("files", [])
        )

    def _started_on(self, name: str) -> dict[str, str] | None:
        """What the unit was last started on; a new section believes the other sections where they agree."""
        if name in self._old:
            return self._old[name].get("started")
        told = [owner.record.get("started") for owner in self.call.manifest.owners("units", name, self.call.key)]
        return told[0] if told and all(one == told[0] for one in told) else None

    def _check_distribution_unit(self, spec: UnitSpec, state: UnitState) -> None:
        template = re.sub(r"@[^.]*\.", "@.", spec.name)
        ours = any(other.name == template and other.content is not None for other in self.specs)
        if self.call.check or ours:
            # In check mode its package may be one that would have been installed by now.
            return
        if state.load == "not-found":
            raise ConvergeError(f"this host has no unit {spec.name}", hint="install its package first, or give content")
        if spec.enabled and state.file_state in ("static", "generated", "transient"):
            raise ConvergeError(
                f"{spec.name} cannot be enabled: it is {state.file_state}", hint="set enabled: false for it"
            )

    def _plan_removal(self, name: str, before: Any) -> list[Change]:
        """Stop and disable what was not there before us; give back to the distribution's units what they were."""
        state = self._states.get(name, UnitState())
        was = before if isinstance(before, dict) else {"enabled": "disabled", "active": "inactive"}
        wanted = str(was["enabled"])
        changes = []
        if wanted.startswith("masked") and not state.masked:
            self.todo["mask"].append(name)
        if wanted.startswith("enabled") and not state.enabled:
            self.todo["enable"].append(name)
            changes.append(Change(name, "disabled", "enabled, as before labctl"))
        elif not wanted.startswith("enabled") and state.file_state.startswith(("enabled", "linked")):
            self.todo["disable"].append(name)
            changes.append(Change(name, "enabled", "disabled"))
        if was["active"] == "active" and state.down:
            self.todo["start"].append(name)
            changes.append(Change(name, state.active, "started, as before labctl"))
        elif was["active"] == "active" and str(FOLDER / name) in {removal.path for removal in self.files.removals}:
            self.todo["restart"].append(name)
            changes.append(Change(name, "running on labctl's text", "restarted"))
        elif was["active"] != "active" and not state.down:
            self.todo["stop"].append(name)
            changes.append(Change(name, state.active, "stopped"))
        return changes

    def apply(self) -> None:
        """Act: stop and disable, write, reload, enable, then start all in one call, and see them stay up."""
        leaving = [name for name in self.todo["disable"] if name in self._gone]
        # A unit whose file is gone can be neither stopped by its own rules nor disabled.
        self.systemd.tell("stop", self.todo["stop"])
        self.systemd.tell("disable", leaving)
        self.files.apply(lambda: self.call.record(self._section(set(), keep_gone=True)))
        if self.reload:
            self.systemd.tell("daemon-reload", [])
        # Asked anew: a unit may have failed while it was stopped, and would stay in systemd's list of failures.
        gone = self.systemd.show([name for name in self._gone if "@." not in name])
        self.systemd.tell("reset-failed", [name for name, state in gone.items() if state.active == "failed"])
        self.systemd.tell("mask", self.todo["mask"])
        self.systemd.tell("unmask", self.todo["unmask"])
        self.systemd.tell("unmask", self.todo["unmask"], "--runtime")
        self.systemd.tell("disable", [name for name in self.todo["disable"] if name not in leaving])
        self.systemd.tell("enable", self.todo["enable"])
        self.systemd.tell("reenable", self.todo["reenable"])
        names = self.todo["start"] + self.todo["restart"]
        begun = time.time()
        failed = self._start(names)
        if names or any(self.todo.values()) or self.reload:
            self._states = self.systemd.show([spec.name for spec in self._live])
        self.call.record(self._section(set(failed), keep_gone=False))
        if failed:
            raise NotUpError(
                "\n".join(failure(name, state, self.systemd.journal(name, begun)) for name, state in failed.items()),
                sorted(failed),
            )

    def _failed(self, names: list[str]) -> list[str]:
        return [name for name in names if name in self._states and self._states[name].active == "failed"]

    def _start(self, names: list[str]) -> dict[str, UnitState]:
        """Start or restart units in one call; returns those that did not come up."""
        if not names:
            return {}
        deadline = time.monotonic() + self.timeout
        # A unit that failed too often would refuse to start at once.
        self.systemd.tell("reset-failed", self._failed(names))
        refused: ConvergeError | None = None
        try:
            self.systemd.tell("restart", names, timeout=self.timeout)
        except ConvergeError as exc:
            refused = exc
        states = self.systemd.wait_up(names, deadline)
        failed = {name: state for name, state in states.items() if not state.up}
        if refused and not failed:
            raise refused
        return failed

    def _section(self, failed: set[str], *, keep_gone: bool) -> dict[str, Any]:
        """The section: before acting (``keep_gone``) with what was started before, afterwards with what is now."""
        units = [self._record(spec, failed, acted=not keep_gone) for spec in self.specs]
        units += list(self._gone.values()) if keep_gone else []
        return {"files": self.files.intent() if keep_gone else self.files.records(), "units": units}

    def _record(self, spec: UnitSpec, failed: set[str], *, acted: bool) -> dict[str, Any]:
        record: dict[str, Any] = {"name": spec.name, "before": self._befores.get(spec.name, ABSENT)}
        if spec.template:
            return {**record, "template": True}
        state = self._states[spec.name]
        record["fragment"] = state.fragment or (str(FOLDER / spec.name) if spec.content is not None else "")
        record["drop_ins"] = {path: sha256(read_or_empty(path)) for path in state.drop_ins}
        record["fragment_sha256"] = sha256(read_or_empty(record["fragment"]))
        record["enabled"] = spec.enabled
        record["file_state"] = state.file_state
        record["active"] = "active" if spec.started and not state.ends else "inactive"
        if spec.name in self.held:
            return {**record, **self._held_record(spec, state)}
        if acted:
            started = self._runs_on[spec.name] if spec.name not in failed else None
        else:
            # A run that is killed before it has started the unit must leave no word of an earlier start.
            pending = spec.name in self.todo["start"] + self.todo["restart"]
            started = None if pending else self._started_on(spec.name)
        if not spec.started:
            return record
        if not started:
            return {**record, "pending": True}
        record["started"] = started
        record["reads"] = self._sections_in(started["config"])
        if not state.ends:
            record.update(sub=state.sub, invocation=state.invocation)
        return record

    def _held_record(self, spec: UnitSpec, state: UnitState) -> dict[str, Any]:
        """Of a unit that waits for its turn: what it still runs on, so that going back to that needs no restart.

        Where a look at the digests would not tell that a restart is due, as when a file was only put back, it is the
        same as never started.
        """
        started = self._started_on(spec.name)
        if not started or started == self._runs_on[spec.name]:
            return {"pending": True}
        known = self._old.get(spec.name, {}).get("invocation", state.invocation)
        return {"pending": True, "started": started, "sub": state.sub, "invocation": known}

    def _sections_in(self, config_digest: str) -> dict[str, str]:
        """The sections of config_tree whose digest stands in a configuration digest, so that a later change shows."""
        found = {}
        for role, key, section in self.call.manifest.everything():
            if key.startswith("config_tree/") and section.get("files"):
                digest = recorded_digest(section["files"])
                if digest in config_digest:
                    found[f"{role}:{key}"] = digest
        return found


def converge(
    call: Call,
    options: list[dict[str, Any]],
    config_digest: str,
    timeout: float,
    systemd: Systemd,
    hold: frozenset[str] = frozenset(),
) -> Outcome:
    """Make exactly these units the section's; with none, undo the section. Those in ``hold`` are not restarted."""
    units = Units(call, unit_specs(options), config_digest, timeout, systemd, hold)
    outcome = Outcome(changes=units.plan(), diff=units.files.diff())
    outcome.values = {
        "started": sorted(units.todo["start"]),
        "restarted": sorted(units.todo["restart"]),
        "stopped": sorted(units.todo["stop"]),
        "held": sorted(units.held),
    }
    if not call.check:
        units.apply()
    return outcome


def present(call: Call) -> Outcome:
    """``state=present`` of unit."""
    params = call.params
    hold = frozenset(params["hold"])
    return converge(call, params["units"], params["config_digest"], params["timeout"], Systemd(), hold)


def absent(call: Call) -> Outcome:
    """``state=absent``: the section's units go, or become what they were before labctl."""
    return converge(call, [], "", call.params["timeout"], Systemd())
