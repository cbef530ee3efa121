# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of unit: encode texts, give members of a replicated service their turns, keep the digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible import constants
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, LabError
from ansible_collections.labctl.stacks.plugins.plugin_utils.bulk import (
    BulkAction,
    lab_folder,
    playing,
    with_encoded_content,
)
from ansible_collections.labctl.stacks.plugins.plugin_utils.rolling import Rolling, Turns, rolling_units
from ansible_collections.labctl.stacks.plugins.plugin_utils.secrets import words

#: Seconds for a service that another member of this run has already waited for in vain.
ONE_LOOK = 2.0


class ActionModule(BulkAction):
    """Action of labctl.stacks.unit.

    The module is called once with restarts of members held back, and once more for each service that is due, in its
    turn. In check mode nothing is held back, as nothing is done: what is announced is the same.
    """

    MODULE = "unit"

    def prepare(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Every unit's content in base64, where it has one; options of turns are for :meth:`run`."""
        if "hold" in args:
            raise InputError("option 'hold' is not for use in playbooks", hint="give units the option rolling")
        self._rolling = rolling_units(args.get("units")) if args.get("state", "present") == "present" else {}
        units = with_encoded_content(args.get("units", []), "name", required=False)
        if isinstance(units, list) and all(isinstance(unit, dict) for unit in units):
            units = [{key: value for key, value in unit.items() if key != "rolling"} for unit in units]
        self._args = {**args, "units": units}
        if self._rolling and not self._task.check_mode:
            return {**self._args, "hold": sorted(self._rolling)}
        return self._args

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module; then restart what it held back, service by service."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        if self._task.check_mode or result.get("unreachable"):
            return result
        services: dict[str, list[str]] = {}
        for unit, rolling in self._rolling.items():
            services.setdefault(rolling.service, []).append(unit)
        for service, units in services.items():
            turns = self._turns(service, variables)
            if result.get("failed"):
                if down := sorted(set(units) & set(result.get("not_up", []))):
                    turns.mark(f"{', '.join(down)} did not come up", failed=True)
                continue
            try:
                self._roll(turns, units, result, variables)
            except LabError as exc:
                result.update(failed=True, msg=words(exc))
        return result

    def _turns(self, service: str, variables: dict[str, Any]) -> Turns:
        """Kept in the lab folder; for an inventory that is no file, in what Ansible keeps for this run alone."""
        this_run = str(constants.DEFAULT_LOCAL_TMP)
        folder = lab_folder(self._templar, variables) or Path(this_run)
        member = str(self._task.delegate_to or variables["inventory_hostname"])
        return Turns(folder, service, member, this_run)

    def _roll(self, turns: Turns, units: list[str], result: dict[str, Any], variables: dict[str, Any]) -> None:
        """Restart a service's units that are due, if any, and see the service healthy. Adds to ``result``."""
        due = sorted(set(units) & set(result.get("held", [])))
        rolling = self._rolling[units[0]]
        if not due and not turns.marked:
            return
        if due:
            turns.forget_strangers(variables.get("groups", {}).get("all", [turns.member]))
            with turns.taken(playing(variables), rolling.timeout):
                mended = turns.marked
                if not mended and not self._healthy_before(turns, rolling, result, variables):
                    return
                turns.mark(f"a restart of {', '.join(due)} was not seen to its end", failed=False)
                if not self._restart(turns, due, result, variables):
                    return
                if not mended:
                    self._healthy_again(turns, rolling, result, variables)
                    return
        # Of several members that did not come back, each may need the others to be started before it is healthy.
        self._healthy_again(turns, rolling, result, variables)

    def _healthy_before(
        self, turns: Turns, rolling: Rolling, result: dict[str, Any], variables: dict[str, Any]
    ) -> bool:
        seen = self._unhealthy(rolling, ONE_LOOK if turns.trouble else rolling.timeout, variables)
        turns.note_trouble(seen)
        if seen:
            hint = "mend what is told here and run again; the restart is still due"
            what = f"{turns.service} was not restarted on {turns.member}, because it is not healthy: {seen}"
            result.update(failed=True, msg=f"{what}\nhint: {hint}")
        return not seen

    def _restart(self, turns: Turns, due: list[str], result: dict[str, Any], variables: dict[str, Any]) -> bool:
        """The module once more, for these units. What it tells is added to what the first call told."""
        args = {**self._args, "hold": sorted(set(result["held"]) - set(due))}
        try:
            answer = self._execute_module(module_name="labctl.stacks.unit", module_args=args, task_vars=variables)
        except BaseException:
            turns.mark(f"a restart of {', '.join(due)} was not seen to its end", failed=True)
            raise
        for key in ("changes", "started", "restarted", "stopped"):
            told = result.get(key, [])
            result[key] = told + [one for one in answer.get(key, []) if one not in told]
        for key in ("started", "restarted", "stopped"):
            result[key] = sorted(result[key])
        if warnings := result.get("warnings", []) + answer.get("warnings", []):
            result["warnings"] = warnings
        result.update(
            {key: answer[key] for key in ("manifest", "not_up", "msg", "hint") if key in answer}, held=args["hold"]
        )
        self.keep_digest(result, variables)
        if answer.get("failed") or answer.get("unreachable"):
            result.update({key: True for key in ("failed", "unreachable") if answer.get(key)})
            turns.mark(f"{', '.join(due)} did not come up after a restart", failed=True)
        return not result.get("failed") and not result.get("unreachable")

    def _healthy_again(self, turns: Turns, rolling: Rolling, result: dict[str, Any], variables: dict[str, Any]) -> None:
        if seen := self._unhealthy(rolling, rolling.timeout, variables):
            turns.mark(f"{turns.service} did not become healthy after its start", failed=True)
            what = f"{turns.service} on {turns.member} runs and did not become healthy: {seen}"
            hint = "see the journal of the service on this host; its other members are not restarted until it works"
            result.update(failed=True, msg=f"{what}\nhint: {hint}")
        else:
            turns.clear()

    def _unhealthy(self, rolling: Rolling, timeout: float, variables: dict[str, Any]) -> str:
        """Wait on the host for a healthy service; "" or what was last seen of it."""
        args = {"role": self._args["role"], "checks": rolling.checks, "timeout": timeout, "record": False}
        answer = self._execute_module(module_name="labctl.stacks.ready", module_args=args, task_vars=variables)
        if not answer.get("failed") and not answer.get("unreachable"):
            return ""
        lines = str(answer.get("msg", "no answer")).splitlines()
        return " ".join(line.strip() for line in lines if not line.startswith("hint: "))
