# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a stack's playbooks on a lab, and says which host failed at what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.labctl.stacks.plugins.module_utils.errors import CheckError, ConvergeError, Finding, LabError

from labctl.lab.events import Event, Listener

if TYPE_CHECKING:
    from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab

    from labctl.ansible.outcome import Outcome
    from labctl.lab.records import Run

COLLECTION = "labctl.stacks"


def warm() -> None:
    """Load what starts Ansible while hosts boot."""
    from labctl.ansible import runner

    runner.warm()


def play(
    lab: Lab,
    playbook: str,
    tell: Listener,
    run: Run,
    *,
    limit: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
    check: bool = False,
    diff: bool = False,
    verbosity: int = 0,
) -> Outcome:
    """Run one of the collection's playbooks on the lab, or on ``limit`` of it, and put what it did on record.

    ``tags`` name the parts of it to run.
    """
    from labctl.ansible import runner

    outcome = runner.run_playbook(
        runner.Playbook(
            name=f"{COLLECTION}.{playbook}",
            inventory=lab.inventory,
            hosts=len(lab.hosts),
            run_id=run.id,
            private=run.private,
            limit=limit,
            tags=tags,
            check=check,
            diff=diff,
            verbosity=verbosity,
        ),
        tell,
    )
    run.playbook(outcome.summary() | {"limit": list(limit), "tags": list(tags), "check": check})
    run.timing(playbook, outcome.seconds)
    return outcome


def check(lab: Lab, stack: str, tell: Listener, run: Run, *, verbosity: int = 0) -> list[str]:
    """Use the stack as its users would; what was proven, in words. CheckError where it does not do what it should."""
    tell(Event("phase", f"{stack} check", f"checking {stack}"))
    outcome = play(lab, f"{stack}_check", tell, run, verbosity=verbosity)
    if not outcome.ok:
        raise CheckError(
            f"{stack} does not pass its check on lab {lab.name}",
            hint=f"labctl logs shows what its services say; record: {run.folder / 'run.json'}",
            findings=_findings(outcome),
        )
    tell(Event("done", f"{stack} check", "passed"))
    return outcome.messages


def raise_failed(lab: Lab, stack: str, outcome: Outcome, earlier: LabError | None = None) -> None:
    """ConvergeError naming each failed host, its task and the reason; ``earlier`` is what hosts failed at before."""
    if outcome.ok and earlier is None:
        return
    findings = _findings(outcome)
    if earlier is not None:
        before = earlier.findings or (Finding("", str(earlier)),)
        known = {finding.where for finding in before}
        # Ansible can only say of them that they cannot be reached; why is already known.
        findings = (*before, *(f for f in findings if f.where.partition(",")[0] not in known))
    hosts = {finding.where.partition(",")[0] for finding in findings}
    failed = f"{len(hosts)} of {len(lab.hosts)} hosts" if outcome.hosts else "Ansible"
    raise ConvergeError(
        f"{stack}: {failed} failed on lab {lab.name}",
        hint="mend the cause and run the same command again: it goes on from there",
        findings=findings,
    )


def _findings(outcome: Outcome) -> tuple[Finding, ...]:
    if outcome.failures:
        return tuple(
            Finding(
                f"{failure.host}, {failure.task}",
                f"could not be reached: {failure.message}" if failure.unreachable else failure.message,
            )
            for failure in outcome.failures
        )
    if outcome.errors:
        return (Finding("", "\n".join(outcome.errors)),)
    if not outcome.hosts:
        return (Finding("", "no host of the inventory is in a group of this playbook"),)
    return (Finding("", f"ansible-playbook ended with exit code {outcome.rc}"),)
