# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sixteen local hosts take of the disk, and what comes from outside for them."""

from __future__ import annotations

from pathlib import Path

from bench.figures import Goal, Row, slower
from bench.session import BenchLab, Session, base_image, store_tree, timed

ABOUT = """\
**Disk.** Hosts are overlays over one image, and see one store. Counted is what `du` finds in the image, in Hadoop's
tree of the store, and in the lab's own folder of host roots (which is all that a host adds), for a lab of one host
and for one of sixteen, both with Hadoop running on them. **Bytes from outside**: with a warm store a run fetches
nothing, whatever the number of hosts; counted are artefacts that `labctl up` says came from elsewhere."""


def measure(session: Session) -> None:
    """The disk of sixteen hosts by that of one."""
    one = session.lab("bench-one")
    one.up(0)
    single = used(one)
    few = fetched(one.told)
    one.down()
    lab = session.hadoop(15)
    many = fetched(lab.told)
    session.note("disk of one host, MiB", single)
    session.note("disk of sixteen hosts, MiB", used(lab))
    ours = session.median("disk of sixteen hosts, MiB")
    session.rows.append(slower("disk of sixteen local hosts", "MiB", "of one", single, ours, Goal("at most", 1.2)))
    session.rows.append(
        Row(
            "artefacts from outside for sixteen hosts, warm store",
            "artefacts",
            "for one host",
            len(few),
            len(many),
            Goal("at most", 0, "labctl"),
        )
    )


def used(lab: BenchLab) -> float:
    """MiB of everything that the lab's hosts stand on."""
    base = base_image()
    roots = Path("/var/lib/labctl/nspawn") / f"{lab.name}-{lab.lab.lab_id()}"
    # -x: not what is mounted over it, which is the same image seen through each host.
    text = timed("du", "-x", "-s", "-m", "--total", base, store_tree(), roots).out
    return float(text.splitlines()[-1].split()[0])


def fetched(told: str) -> list[str]:
    """The artefacts that came from elsewhere than the store, as `labctl up` told it; LookupError for none at all."""
    lines = [line.split(" ", 1)[-1] for line in told.splitlines() if " artefact " in line]
    if not lines:
        raise LookupError("labctl up told of no artefact")
    return [line for line in lines if not line.endswith(" from store")]
