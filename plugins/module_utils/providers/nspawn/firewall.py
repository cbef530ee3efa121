# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: a lab's forwarding rules, and the machine's forwarding as a whole.

The rules stand at the head of FORWARD: Docker and ufw drop by policy, at the end of the chain, and with
br_netfilter even what passes between two hosts of one bridge comes by here. Each carries the lab's id as a
comment, by which it is found again.
"""

from __future__ import annotations

import contextlib
import json
import shlex
from ipaddress import IPv4Network
from pathlib import Path

from ...errors import ProviderError
from ..command import find, run
from .network import BRIDGE_PREFIX
from .state import write

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
CHAINS = {"filter": "FORWARD", "nat": "POSTROUTING"}


def tag(lab_id: str) -> str:
    return f"labctl-{lab_id}"


def rules(lab_id: str, bridge: str, subnet: IPv4Network) -> dict[str, list[str]]:
    """The rules by table, in their order, spelt as ``iptables -S`` spells them (without ``-A CHAIN``).

    Hosts reach each other and the world, the world answers, and nothing else gets in; not even another lab,
    which is why hosts' way out leaves other labs' bridges out.
    """
    mark = f"-m comment --comment {tag(lab_id)}"
    return {
        "filter": [
            f"-i {bridge} -o {bridge} {mark} -j ACCEPT",
            f"-o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED {mark} -j ACCEPT",
            f"-o {bridge} {mark} -j DROP",
            f"-i {bridge} ! -o {BRIDGE_PREFIX}+ {mark} -j ACCEPT",
        ],
        "nat": [f"-s {subnet} ! -o {bridge} {mark} -j MASQUERADE"],
    }


def tagged(listing: str, chain: str, lab_id: str) -> list[str]:
    """The lab's rules in what ``iptables -S CHAIN`` printed, without ``-A CHAIN``."""
    start = f"-A {chain} "
    return [
        line.removeprefix(start)
        for line in listing.splitlines()
        if line.startswith(start) and tag(lab_id) in shlex.split(line)
    ]


def restore_text(table: str, stale: list[str], wanted: list[str]) -> str:
    """Input of ``iptables-restore --noflush``: takes rules out and puts others at the head, all or nothing."""
    chain = CHAINS[table]
    lines = [f"-D {chain} {rule}" for rule in stale]
    lines += [f"-I {chain} {number} {rule}" for number, rule in enumerate(wanted, start=1)]
    return "\n".join([f"*{table}", *lines, "COMMIT"]) + "\n"


def same(present: list[str], wanted: list[str]) -> bool:
    """Whether two lists say the same rules in the same order, however a version of iptables spells them."""

    def words(rule: str) -> list[str]:
        return sorted(",".join(sorted(word.split(","))) for word in shlex.split(rule))

    return [words(rule) for rule in present] == [words(rule) for rule in wanted]


def _present(table: str, lab_id: str) -> list[str]:
    return tagged(run(["iptables", "-w", "-t", table, "-S", CHAINS[table]]), CHAINS[table], lab_id)


def complete(lab_id: str, bridge: str, subnet: IPv4Network) -> bool:
    """Whether the lab's rules are all there; root only."""
    return all(same(_present(table, lab_id), wanted) for table, wanted in rules(lab_id, bridge, subnet).items())


def ensure(lab_id: str, bridge: str, subnet: IPv4Network) -> bool:
    """Put the lab's rules in place where they are not; whether they were not."""
    return _replace(lab_id, rules(lab_id, bridge, subnet))


def remove(lab_id: str) -> bool:
    """Take the lab's rules out; whether there were any."""
    if find("iptables") is None:
        return False
    return _replace(lab_id, {table: [] for table in CHAINS})


def _replace(lab_id: str, wanted: dict[str, list[str]]) -> bool:
    text = ""
    for table, lines in wanted.items():
        present = _present(table, lab_id)
        if not same(present, lines):
            text += restore_text(table, present, lines)
    if text:
        run(["iptables-restore", "-w", "--noflush"], stdin=text)
    return bool(text)


# Forwarding as a whole ------------------------------------------------------------------------------------------


def forwarding_on() -> bool:
    return FORWARDING.read_text(encoding="ascii").strip() != "0"


def ensure_forwarding(marker: Path, boot: str) -> bool:
    """Switch forwarding on where it is off, noting that it was us; whether it was off."""
    if forwarding_on():
        return False
    write(marker, {"boot": boot})
    try:
        FORWARDING.write_text("1", encoding="ascii")
    except OSError as exc:
        raise ProviderError(f"forwarding cannot be switched on: {exc.strerror}") from exc
    return True


def restore_forwarding(marker: Path, boot: str) -> bool:
    """Switch forwarding off again if we switched it on since this boot; whether we did."""
    ours = False
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
        ours = json.loads(marker.read_text(encoding="utf-8"))["boot"] == boot
    if ours:
        FORWARDING.write_text("0", encoding="ascii")
    marker.unlink(missing_ok=True)
    return ours
