# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a lab up: hosts and artefacts side by side, then the stacks' playbooks, then their checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import LabError, ProviderError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.stacks import STACKS

from labctl.lab import backend, converge
from labctl.lab.events import Event, Listener
from labctl.lab.locate import ensure_inventory
from labctl.lab.parallel import together
from labctl.lab.records import Run, State


@dataclass(frozen=True)
class Options:
    """How to go about it. ``check`` only says what would change; ``full`` runs Ansible however sure we are."""

    full: bool = False
    check: bool = False
    diff: bool = False
    check_product: bool = True
    verbosity: int = 0


@dataclass
class Result:
    """What came of it: changes as (host, task), host changes in words, messages of the checks, fresh notices."""

    hosts: list[Any] = field(default_factory=list)
    changes: list[tuple[str, str]] = field(default_factory=list)
    host_changes: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def up(lab: Lab, options: Options, tell: Listener, run: Run) -> Result:
    """Make the lab what its file says. The lab's lock is the caller's to hold, preflight the caller's to have done."""
    provider = backend.provider_for(lab)
    ensure_inventory(lab)
    result = Result()
    if options.check:
        return _foresee(lab, provider, options, tell, run, result)
    trouble = _make(lab, provider, tell, run, result)
    state = State(lab)
    for stack in stale_stacks(lab, options):
        _converge(lab, stack, options, tell, run, state, result, trouble)
    if trouble is not None and not lab.stacks:
        raise trouble
    return result


def stale_stacks(lab: Lab, options: Options) -> tuple[str, ...]:
    """The stacks whose playbooks have to run, in order.

    All of them, each time: no part of a lab is known to be as it should be without asking Ansible. What learns to
    know it decides here, and ``options.full`` overrules it.
    """
    return lab.stacks


def preflight(lab: Lab) -> None:
    """Everything this machine lacks for the lab, in one PreflightError; ProviderError for another's lab of its name.

    Touches nothing.
    """
    provider = backend.provider_for(lab)
    provider.preflight()
    provider.plan()


def _make(lab: Lab, provider: Any, tell: Listener, run: Run, result: Result) -> ProviderError | None:
    """Hosts, artefacts and our own imports at once. Returns the error of hosts without which others can go on."""
    result.host_changes = [f"{c.host}: {c.action}" for c in provider.plan() if c.action in ("create", "start")]
    names = {host.name for host in lab.hosts}

    def host_step(host: str, step: str) -> None:
        tell(Event("host", host or "lab", step))

    def fetch(name: str) -> Callable[[], None]:
        def step() -> None:
            title = f"artefact {name}"
            line = backend.resolve_artifact(name, lambda t, d, n: tell(Event("artifact", title, t, done=d, total=n)))
            tell(Event("artifact", title, line))

        return step

    artifacts = dict.fromkeys(artifact for stack in lab.stacks for artifact in STACKS[stack].artifacts)
    tell(Event("phase", "hosts", "making hosts and fetching artefacts"))
    steps: dict[str, Callable[[], Any]] = {"hosts": lambda: provider.apply(host_step)}
    steps |= {f"artefact {name}": fetch(name) for name in artifacts}
    steps |= {"ansible": converge.warm}
    results, errors, seconds = together(steps)
    for step, took in seconds.items():
        run.timing(step, took)
    result.hosts = results.get("hosts") or provider.hosts()
    trouble = errors.pop("hosts", None)
    for error in errors.values():
        raise error
    if trouble is None:
        tell(Event("done", "hosts", _running(result.hosts, names)))
        return None
    if isinstance(trouble, ProviderError) and any(host.state == "running" for host in _others(trouble, result.hosts)):
        for finding in trouble.findings or ():
            tell(Event("failure", finding.where, finding.what))
        return trouble
    raise trouble


def _others(trouble: LabError, hosts: list[Any]) -> list[Any]:
    named = {finding.where for finding in trouble.findings}
    return [host for host in hosts if host.name not in named] if named else []


def _running(hosts: list[Any], names: set[str]) -> str:
    count = sum(host.state == "running" and host.name in names for host in hosts)
    return f"{count} host{'s' if count != 1 else ''} running"


def _converge(
    lab: Lab,
    stack: str,
    options: Options,
    tell: Listener,
    run: Run,
    state: State,
    result: Result,
    trouble: ProviderError | None,
) -> None:
    proven = state.checked(stack)
    # Until this run has proven otherwise, the stack is not known to work: it may be killed half-way.
    state.set_checked(stack, False)
    tell(Event("phase", stack, f"converging {stack}"))
    outcome = converge.play(lab, stack, tell, run, diff=options.diff, verbosity=options.verbosity)
    result.changes += outcome.changes
    if trouble is not None:
        converge.raise_failed(lab, stack, outcome, earlier=trouble)
    converge.raise_failed(lab, stack, outcome)
    tell(Event("done", stack, f"{outcome.tasks} tasks, {outcome.changed} changed"))
    if not state.noticed(stack):
        result.notices.append(stack)
    if proven and not outcome.changed and not result.host_changes:
        state.set_checked(stack, True)
    elif options.check_product:
        result.checks += converge.check(lab, stack, tell, run, verbosity=options.verbosity)
        state.set_checked(stack, True)


def _foresee(lab: Lab, provider: Any, options: Options, tell: Listener, run: Run, result: Result) -> Result:
    """What ``up`` would do: hosts from the provider's plan, the rest from Ansible's check mode on live hosts."""
    result.host_changes = [f"{c.host}: {c.action} ({c.reason})" for c in provider.plan() if c.action != "keep"]
    result.hosts = provider.hosts()
    if any(host.state != "running" for host in result.hosts):
        tell(Event("warning", lab.name, "some hosts do not run: what would change on them cannot be foreseen"))
        return result
    for stack in stale_stacks(lab, options):
        tell(Event("phase", stack, f"looking at {stack}"))
        outcome = converge.play(lab, stack, tell, run, check=True, diff=options.diff, verbosity=options.verbosity)
        result.changes += outcome.changes
        converge.raise_failed(lab, stack, outcome)
        tell(Event("done", stack, f"{outcome.tasks} tasks, {outcome.changed} would change something"))
    return result
