# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an `up` would do, and why: which hosts to make, and which hosts of which stack are stale. Changes nothing.

A host is *stale* for a stack when Ansible has to run there: an input is not the one the host was last converged with
(:mod:`labctl.lab.digest`), the host is not as that run left it (:mod:`labctl.lab.verify`), or nobody knows. A host that
is not stale needs no Ansible, and this module imports none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.stacks import STACKS

from labctl.lab import backend, digest
from labctl.lab.facts import declared, facts_of
from labctl.lab.records import State

if TYPE_CHECKING:
    from labctl.lab.verify import HostReport

#: The phases of a role that put things right on a host.
MENDING = ("install", "configure", "service")
#: Drift that does not tell what is to be done: a manifest that is not ours, a service that does not answer.
UNCLEAR = {"manifest", "check", "probe"}

#: Host -> why it is stale.
Reasons = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Plan:
    """The difference between a lab and its file.

    ``changes`` is the provider's plan, ``hosts`` are the hosts as they are, ``stale`` maps each stack that has to run
    to its stale hosts, ``drifted`` those stacks on whose stale hosts nothing is wrong but what some roles left there to
    these roles, ``unproven`` are the stacks nobody has seen work since they last changed, ``reports`` what hosts
    said that were looked at.
    """

    changes: tuple[Any, ...]
    hosts: tuple[Any, ...]
    inputs: digest.Inputs
    stale: dict[str, Reasons] = field(default_factory=dict)
    drifted: dict[str, frozenset[str]] = field(default_factory=dict)
    unproven: tuple[str, ...] = ()
    reports: dict[str, HostReport] = field(default_factory=dict)

    @property
    def host_changes(self) -> list[Any]:
        """What ``up`` would do with hosts; it removes none."""
        return [change for change in self.changes if change.action in ("create", "start")]

    @property
    def settled(self) -> bool:
        """Whether hosts and stacks are as they should be; that the stacks work may still have to be proven."""
        return not self.host_changes and not self.stale

    def tags(self, stack: str) -> tuple[str, ...]:
        """The parts of a stack's playbook that mend it; none where it takes all of it.

        Where inputs are those of the last run and drift is all that is wrong, roles after the last that drifted have
        nothing to do, and preflight would find what it found then. The verifier looks at everything afterwards.
        """
        roles, drifted = STACKS[stack].roles, self.drifted.get(stack)
        if not drifted or not drifted <= set(roles):
            return ()
        last = max(roles.index(role) for role in drifted)
        return tuple(f"{role}_{phase}" for role in roles[: last + 1] for phase in MENDING)

    def brief(self) -> dict[str, dict[str, list[str]]]:
        """Why which host is stale, by stack, without anything that a host said of its content."""
        found: dict[str, dict[str, list[str]]] = {}
        for stack, hosts in self.stale.items():
            for host, reasons in hosts.items():
                told = set(findings(self.reports[host])) if host in self.reports else set()
                drift = [f"{one.kind} {one.item}: {one.what}" for one in self.reports[host].drift] if told else []
                found.setdefault(stack, {})[host] = [reason for reason in reasons if reason not in told] + drift
        return found


def make_plan(lab: Lab, *, full: bool = False, everywhere: bool = False) -> Plan:
    """Compare a lab with its file. ``full`` takes all hosts for stale; ``everywhere`` looks at those that are, too.

    ProviderError for another's lab of the same name.
    """
    provider = backend.provider_for(lab)
    changes, hosts = tuple(provider.plan()), tuple(provider.hosts())
    running = [host.name for host in hosts if host.state == "running"]
    facts = facts_of(lab, running, declared(roles={role for stack in lab.stacks for role in STACKS[stack].roles}))
    inputs = digest.inputs(lab, hosts, digest.lab_key(lab), facts)
    state = State(lab)
    actions = {change.host: change for change in changes}
    reasons = {stack: _by_inputs(lab, stack, inputs, state, actions, full=full) for stack in lab.stacks}
    # Hosts of a lab that was never up cannot be asked: nothing says how to reach them.
    everywhere = everywhere and bool(lab.lab_id())
    known = {host for stack in reasons for host, why in reasons[stack].items() if everywhere or not why}
    known = {host for host in known if host in actions and actions[host].action == "keep"}
    reports = look(lab, {host.name: state.manifests(host.name) for host in lab.hosts if host.name in known})
    drifted = {stack: _drifted(hosts_of, reports) for stack, hosts_of in reasons.items()}
    for stack, hosts_of in reasons.items():
        for host, why in hosts_of.items():
            if host in reports:
                reasons[stack][host] = (*why, *findings(reports[host]))
    stale = {stack: {host: why for host, why in reasons[stack].items() if why} for stack in lab.stacks}
    return Plan(
        changes=changes,
        hosts=hosts,
        inputs=inputs,
        stale={stack: hosts_of for stack, hosts_of in stale.items() if hosts_of},
        drifted={stack: roles for stack, roles in drifted.items() if roles},
        unproven=tuple(stack for stack in lab.stacks if not state.checked(stack)),
        reports=reports,
    )


def _drifted(reasons: Reasons, reports: Mapping[str, HostReport]) -> frozenset[str]:
    """The roles whose things are not as they left them; none where more than that is, or may be, wrong.

    ``reasons`` are those to run on a host whatever it looks like.
    """
    wrong = [report for report in reports.values() if not report.clean]
    drift = [one for report in wrong for one in report.drift]
    known = all(report.reachable and not report.error for report in wrong)
    if any(reasons.values()) or not known or any(one.kind in UNCLEAR for one in drift):
        return frozenset()
    return frozenset(one.role for one in drift)


def describe(lab: Lab, plan: Plan) -> dict[str, Any]:
    """A plan as data: hosts with what would happen to them, artefacts, stacks with their stale hosts, drift."""
    from dataclasses import asdict

    names = dict.fromkeys(artifact for stack in lab.stacks for artifact in STACKS[stack].artifacts)
    artifacts = [backend.artifact_state(lab, name) for name in names]
    looked_at = {host: report for host, report in plan.reports.items() if report.reachable and not report.error}
    return {
        "lab": lab.name,
        "hosts": [{"host": one.host, "action": one.action, "reason": one.reason} for one in plan.changes],
        "artifacts": [{"name": one.name, "version": one.version, "present": bool(one.digest)} for one in artifacts],
        "stacks": [
            {
                "stack": stack,
                "hosts": {host: list(why) for host, why in plan.stale.get(stack, {}).items()},
                "prove": stack in plan.unproven,
            }
            for stack in lab.stacks
        ],
        "drift": {host: [asdict(one) for one in report.drift] for host, report in looked_at.items() if report.drift},
        "silent": {host: report.error for host, report in plan.reports.items() if host not in looked_at},
        "settled": plan.settled and not plan.unproven and all(one.digest for one in artifacts),
    }


def hosts_of(lab: Lab, stack: str, inputs: digest.Inputs) -> list[str]:
    """The hosts a stack's playbook may run on: those in its groups, or all where the inventory file composes groups."""
    groups = set(STACKS[stack].groups)
    return [host.name for host in lab.hosts if inputs.composed or groups & set(host.groups)]


def look(lab: Lab, hosts: Mapping[str, Iterable[str]]) -> dict[str, HostReport]:
    """Have hosts compared with what the last run left there; each with the roles that must have left something."""
    return backend.verify(lab, {host: frozenset(roles) for host, roles in hosts.items()}) if hosts else {}


def findings(report: HostReport) -> list[str]:
    """What is wrong with a host, in words."""
    if report.error or not report.reachable:
        return [f"cannot be looked at: {report.error}"]
    return [str(drift) for drift in report.drift]


def _by_inputs(
    lab: Lab, stack: str, inputs: digest.Inputs, state: State, actions: Mapping[str, Any], *, full: bool
) -> Reasons:
    """Every host of the stack, with what its inputs and its own fate say."""
    found: Reasons = {}
    for host in hosts_of(lab, stack, inputs):
        action = actions.get(host)
        if action is not None and action.action == "create":
            found[host] = (action.reason,)
        elif full:
            found[host] = ("asked for by --full",)
        else:
            found[host] = tuple(_differences(lab, host, stack, inputs, state))
    return found


def _differences(lab: Lab, host: str, stack: str, inputs: digest.Inputs, state: State) -> list[str]:
    before, now = state.parts(host, stack), inputs.of(host)
    if before is None:
        return ["not converged yet"]
    found = [_difference(part, before.get(part), now.get(part)) for part in sorted({*before, *now})]
    found += [f"{part} depends on more than its text" for part in sorted(inputs.impure & now.keys())]
    return [text for text in found if text] + _manifests(state, host, stack, backend.kept_digests(lab, host))


def _difference(part: str, before: str | None, now: str | None) -> str:
    if before == now:
        return ""
    if before is None or now is None:
        return f"{part} is {'new' if before is None else 'gone'}"
    return f"{part} is {now}, was {before}" if part in (*digest.TOOLS, "python") else f"{part} changed"


def _manifests(state: State, host: str, stack: str, now: Mapping[str, str]) -> list[str]:
    """Whether somebody else converged the host since, with inputs that nobody here knows."""
    before = state.manifests(host)
    if not now and not before and state.touched(host, stack):
        return ["its roles leave no record of what they manage"]
    found = []
    for role in sorted({*before, *now}):
        if role not in now:
            found.append(f"the lab folder has no digest of the manifest of {role}")
        elif before.get(role) != now[role]:
            found.append(f"{role} was converged by another run")
    return found
