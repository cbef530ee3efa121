# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a lab up: hosts and artefacts side by side, then playbooks where a plan asks for them, then their checks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import (
    ConvergeError,
    Finding,
    LabError,
    ProviderError,
)
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.stacks import STACKS

from labctl.lab import backend, converge, digest
from labctl.lab.events import Event, Listener
from labctl.lab.locate import ensure_inventory
from labctl.lab.parallel import together
from labctl.lab.plan import Plan, Reasons, findings, hosts_of, look, make_plan
from labctl.lab.records import NOOP, Run, State

#: How long what a service answers may take to come right after a run, in seconds: a DataNode, for one, needs some to
#: find a NameNode again that was restarted.
SETTLING, PAUSE = 30.0, 0.5
_ANSWERS = {"check", "probe"}
_SHOWN = 5


@dataclass(frozen=True)
class Options:
    """How to go about it. ``check`` only says what would change; ``full`` runs Ansible however sure we are."""

    full: bool = False
    check: bool = False
    diff: bool = False
    check_product: bool = True
    verbosity: int = 0
    accept_unpinned: bool = False


@dataclass
class Result:
    """What came of it: changes as (host, task), host changes in words, messages of the checks, fresh notices."""

    hosts: list[Any] = field(default_factory=list)
    changes: list[tuple[str, str]] = field(default_factory=list)
    host_changes: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def preflight(lab: Lab) -> None:
    """Everything this machine lacks for the lab, in one PreflightError; ProviderError for another's lab of its name.

    Touches nothing.
    """
    provider = backend.provider_for(lab)
    provider.preflight()
    provider.plan()


def unchanged(lab: Lab, plan: Plan, argv: list[str], began: float) -> Result:
    """The result of an `up` that finds nothing to do, with a short record. ``began`` as of time.monotonic()."""
    run = Run(lab, NOOP, argv)
    run.timing("look", time.monotonic() - began)
    run.end("done")
    return Result(hosts=list(plan.hosts))


def idle(plan: Plan, options: Options) -> bool:
    """Whether nothing is to be done, not even to prove that the stacks work."""
    proving = options.check_product and not options.check
    return plan.settled and not (proving and plan.unproven)


def up(lab: Lab, options: Options, tell: Listener, run: Run, plan: Plan) -> Result:
    """Make the lab what its file says. The lab's lock is the caller's to hold, preflight the caller's to have done."""
    tell = run.listener(tell)
    provider = backend.provider_for(lab)
    result = Result()
    fresh = ensure_inventory(lab)
    if options.check:
        return _foresee(lab, plan, options, tell, run, result)
    trouble: LabError | None = None
    if not plan.settled:
        trouble = _make(lab, provider, options, tell, run, result)
        fresh = digest.ensure_key(lab) or fresh
        if fresh or plan.host_changes:
            # Hosts have addresses now, and what is on them can be looked at.
            plan = make_plan(lab, full=options.full)
    result.hosts = result.hosts or list(plan.hosts)
    state = State(lab)
    run.note(why=plan.brief())
    if plan.stale:
        from labctl.lab.runs import note_inputs

        note_inputs(lab, run)
    ran = {stack: hosts for stack in lab.stacks if (hosts := plan.stale.get(stack))}
    proven = {stack: state.checked(stack) for stack in lab.stacks}
    changed = {stack: _converge(lab, stack, hosts, plan, options, tell, run, state, result, trouble)
               for stack, hosts in ran.items()}  # fmt: skip
    if trouble is not None and not ran:
        raise trouble
    if ran:
        _settle(lab, plan, ran, tell, run, state)
    for stack in lab.stacks:
        if proven[stack] and not changed.get(stack) and not result.host_changes:
            state.set_checked(stack, True)
        elif options.check_product and (stack in ran or not proven[stack]):
            result.checks += converge.check(lab, stack, tell, run, verbosity=options.verbosity)
            state.set_checked(stack, True)
    return result


def _make(lab: Lab, provider: Any, options: Options, tell: Listener, run: Run, result: Result) -> ProviderError | None:
    """Hosts, artefacts and our own imports at once. Returns the error of hosts without which others can go on."""
    result.host_changes = [f"{c.host}: {c.action}" for c in provider.plan() if c.action in ("create", "start")]
    names = {host.name for host in lab.hosts}

    def host_step(host: str, step: str) -> None:
        tell(Event("host", host or "lab", step))

    def fetch(name: str) -> Callable[[], None]:
        def step() -> None:
            title = f"artefact {name}"
            line = backend.resolve_artifact(
                lab,
                name,
                lambda t, d, n: tell(Event("artifact", title, t, done=d, total=n)),
                accept_unpinned=options.accept_unpinned,
            )
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
    hosts: Reasons,
    plan: Plan,
    options: Options,
    tell: Listener,
    run: Run,
    state: State,
    result: Result,
    trouble: LabError | None,
) -> bool:
    """Run the stack's playbook on these hosts, and keep what they were converged with; whether it changed anything."""
    _explain(hosts, state, stack, tell)
    # From here on the hosts are not known to be as they should, nor the stack to work: this run may be killed half-way.
    state.begin(stack, hosts)
    limit = _limit(lab, stack, hosts, plan)
    tell(Event("phase", stack, f"converging {stack}{_on(limit)}"))
    outcome = converge.play(
        lab, stack, tell, run, limit=limit, tags=plan.tags(stack), diff=options.diff, verbosity=options.verbosity
    )
    result.changes += outcome.changes
    converge.raise_failed(lab, stack, outcome, earlier=trouble)
    tell(Event("done", stack, f"{outcome.tasks} tasks, {outcome.changed} changed"))
    state.converged(stack, {host: plan.inputs.of(host) for host in hosts}, outcome.hosts)
    if not state.noticed(stack):
        result.notices.append(stack)
    return bool(outcome.changed)


def _limit(lab: Lab, stack: str, hosts: Reasons, plan: Plan) -> tuple[str, ...]:
    """The hosts to name to Ansible; none where all of the stack's are meant."""
    return tuple(hosts) if len(hosts) < len(hosts_of(lab, stack, plan.inputs)) else ()


def _on(hosts: tuple[str, ...]) -> str:
    return f" on {', '.join(hosts)}" if hosts else ""


def _explain(hosts: Reasons, state: State, stack: str, tell: Listener) -> None:
    """Say why hosts that were converged before have to be so again."""
    for host, reasons in hosts.items():
        if state.parts(host, stack) is not None:
            for reason in reasons[:_SHOWN]:
                tell(Event("why", host, reason))
            if len(reasons) > _SHOWN:
                tell(Event("why", host, f"and {len(reasons) - _SHOWN} more"))


def _settle(lab: Lab, plan: Plan, ran: dict[str, Reasons], tell: Listener, run: Run, state: State) -> None:
    """See that every host is now as its roles declare, and remember it; ConvergeError naming what is not."""
    hosts = [host.name for host in lab.hosts if any(host.name in hosts_of(lab, stack, plan.inputs) for stack in ran)]
    manifests = {host: backend.kept_digests(lab, host) for host in hosts}
    began = time.monotonic()
    reports = look(lab, manifests)
    while (unsettled := _unsettled(reports)) and time.monotonic() - began < SETTLING:
        time.sleep(PAUSE)
        reports |= look(lab, {host: manifests[host] for host in unsettled})
    run.timing("verify", time.monotonic() - began)
    wrong = {host: findings(report) for host, report in reports.items() if not report.clean}
    for host in wrong:
        for stack in ran:
            state.forget(host, stack)
    state.keep_hosts({host.name for host in lab.hosts})
    # Of hosts that did not run, what another run may have left meanwhile is nothing we know.
    manifests = {host: manifests[host] for host in hosts if any(host in stale for stale in ran.values())}
    key = digest.lab_key(lab)
    made = {"secrets": plan.inputs.after(digest.secret_files(lab, key)).secrets, **plan.inputs.lock_after(lab, key)}
    state.left_behind(manifests, made)
    if wrong:
        count = f"{len(wrong)} of {len(lab.hosts)} hosts"
        raise ConvergeError(
            f"{count} of lab {lab.name} are not as the playbooks should have left them",
            hint="something else changes them, or a role does not mend what it manages: labctl diff shows more",
            findings=tuple(Finding(host, line) for host, lines in wrong.items() for line in lines),
        )
    run.left(backend.left_behind(lab, hosts))


def _unsettled(reports: dict[str, Any]) -> list[str]:
    """The hosts on which nothing is wrong but what services answer; none, if anything else is wrong anywhere."""
    wrong = {host: report for host, report in reports.items() if not report.clean}
    passing = all(report.reachable and not report.error for report in wrong.values()) and all(
        drift.kind in _ANSWERS for report in wrong.values() for drift in report.drift
    )
    return list(wrong) if passing else []


def _foresee(lab: Lab, plan: Plan, options: Options, tell: Listener, run: Run, result: Result) -> Result:
    """What ``up`` would do: hosts from the provider's plan, the rest from Ansible's check mode on stale hosts."""
    result.host_changes = [f"{c.host}: {c.action} ({c.reason})" for c in plan.changes if c.action != "keep"]
    result.hosts = list(plan.hosts)
    if any(host.state != "running" for host in plan.hosts):
        tell(Event("warning", lab.name, "some hosts do not run: what would change on them cannot be foreseen"))
        return result
    for stack, hosts in plan.stale.items():
        limit = _limit(lab, stack, hosts, plan)
        tell(Event("phase", stack, f"looking at {stack}{_on(limit)}"))
        outcome = converge.play(
            lab, stack, tell, run,
            limit=limit, tags=plan.tags(stack), check=True, diff=options.diff, verbosity=options.verbosity,
        )  # fmt: skip
        result.changes += outcome.changes
        converge.raise_failed(lab, stack, outcome)
        tell(Event("done", stack, f"{outcome.tasks} tasks, {outcome.changed} would change something"))
    return result
