# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's forwarding rules, as text."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import firewall

ID, OTHER = "0123456789abcdef", "fedcba9876543210"
BRIDGE = "labctl-01234567"
RULES = firewall.rules(ID, BRIDGE, IPv4Network("10.1.2.0/24"))


def test_nothing_but_answers_comes_in_from_outside() -> None:
    inbound = [rule for rule in RULES["filter"] if f"-o {BRIDGE}" in rule and "-i" not in rule]
    assert [rule.split()[-1] for rule in inbound] == ["ACCEPT", "DROP"]
    assert "RELATED,ESTABLISHED" in inbound[0]


def test_another_labs_bridge_is_no_way_out() -> None:
    outbound = [rule for rule in RULES["filter"] if rule.startswith(f"-i {BRIDGE} !")]
    assert outbound and all("! -o labctl-+ " in rule for rule in outbound)


def test_only_rules_of_this_lab_are_found() -> None:
    ours = RULES["filter"][0]
    listing = "\n".join(
        [
            "-P FORWARD DROP",
            f"-A FORWARD {ours}",
            f"-A FORWARD {ours.replace(ID, OTHER)}",
            f'-A FORWARD -m comment --comment "not labctl-{ID} at all" -j ACCEPT',
            "-A FORWARD -o docker0 -j DOCKER",
        ]
    )
    assert firewall.tagged(listing, "FORWARD", ID) == [ours]


def test_rules_replace_stale_ones_at_the_head_of_the_chain_in_one_go() -> None:
    assert firewall.restore_text("nat", ["-s 10.9.9.0/24 -j OLD"], ["one", "two"]) == (
        "*nat\n-D POSTROUTING -s 10.9.9.0/24 -j OLD\n-I POSTROUTING 1 one\n-I POSTROUTING 2 two\nCOMMIT\n"
    )


@pytest.mark.parametrize(
    ("present", "same"),
    [
        (RULES["filter"], True),
        # Versions of iptables differ in the order of options, in quotes and in the order of states.
        ([rule.replace("RELATED,ESTABLISHED", "ESTABLISHED,RELATED") for rule in RULES["filter"]], True),
        ([rule.replace(f"labctl-{ID}", f'"labctl-{ID}"') for rule in RULES["filter"]], True),
        (RULES["filter"][:-1], False),
        (RULES["filter"][::-1], False),
        ([], False),
    ],
)
def test_rules_are_compared_by_what_they_say(present: list[str], same: bool) -> None:
    assert firewall.same(present, RULES["filter"]) is same
