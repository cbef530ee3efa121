# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sixteen local hosts take of the disk, and what comes from outside for them."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import image

from bench.cases.cold import events
from bench.figures import Goal, Row, slower
from bench.session import BenchLab, Session, store_tree, timed

ABOUT = """\
**Disk.** Hosts are overlays over one image, and see one store. Counted is what `du` finds in the image, in Hadoop's
tree of the store, and in the lab's own folder of host roots (which is all that a host adds), for a lab of one host
and for one of sixteen, both with Hadoop running on them. **Bytes from outside**: with a warm store a run fetches
nothing, whatever the number of hosts; the run's own events must say that its artefacts came from the store, or the
bench fails."""


def measure(session: Session) -> None:
    """The disk of sixteen hosts by that of one."""
    one = session.lab("bench-one")
    one.up(0)
    single = used(one)
    _check_warm(session, one)
    one.down()
    lab = session.hadoop(15)
    _check_warm(session, lab)
    session.note("disk of one host, MiB", single)
    session.note("disk of sixteen hosts, MiB", used(lab))
    ours = session.median("disk of sixteen hosts, MiB")
    session.rows.append(slower("disk of sixteen local hosts", "MiB", "of one", single, ours, Goal("at most", 1.2)))
    fetched = 0.0
    session.rows.append(
        Row("artefacts fetched for sixteen hosts, warm store", "B", "none", None, fetched, Goal("at most", 0, "labctl"))
    )


def used(lab: BenchLab) -> float:
    """MiB of everything that the lab's hosts stand on."""
    base = image.ensure(image.recipe_for("debian-13", ("hadoop",)), lambda _host, _step: None)
    roots = Path("/var/lib/labctl/nspawn") / f"{lab.name}-{lab.lab.lab_id()}"
    # -x: not what is mounted over it, which is the same image seen through each host.
    text = timed("du", "-x", "-s", "-m", "--total", base, store_tree(), roots).out
    return float(text.splitlines()[-1].split()[0])


def _check_warm(session: Session, lab: BenchLab) -> None:
    told = [str(text) for _, kind, subject, text in events(lab) if kind == "artifact" or "artefact" in str(subject)]
    timings = lab.folder.glob(".labctl/runs/*/run.json")
    if not any(timings):
        session.problems.append(f"lab {lab.name} has no record of its run")
    if any("from store" not in text for text in told):
        session.problems.append(f"artefacts of lab {lab.name} did not come from the store: {told}")
