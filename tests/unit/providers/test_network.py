# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which subnet and which addresses a lab gets."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError, ProviderError
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import network

ID = "0123456789abcdef"
ROUTES: list[dict[str, Any]] = [
    {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0"},
    {"dst": "192.0.2.0/24", "dev": "eth0"},
    {"type": "local", "dst": "192.0.2.2", "dev": "eth0", "table": "local"},
    {"dst": "10.200.0.0/16", "dev": "tun0", "table": "100"},
]
LINKS: list[dict[str, Any]] = [
    {"ifname": "lo", "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]},
    {"ifname": "docker0", "addr_info": [{"local": "172.17.0.1", "prefixlen": 16}]},
]


@pytest.mark.parametrize(
    ("subnet", "by"),
    [
        ("192.0.2.128/25", "interface eth0|a route via eth0"),
        ("172.17.4.0/24", "interface docker0"),
        ("10.200.7.0/24", "a route via tun0"),
        ("10.0.0.0/8", "a route via tun0|lab other"),
        ("10.255.255.0/24", "a name server"),
        ("10.210.3.0/24", "lab other"),
    ],
)
def test_a_subnet_in_use_is_refused_by_what_uses_it(subnet: str, by: str) -> None:
    used = network.used_networks(ROUTES, LINKS, ["10.255.255.53"], {"other": "10.210.3.0/24"})
    with pytest.raises(PreflightError) as caught:
        network.choose_subnet(ID, 3, used, subnet)
    assert any(name in str(caught.value) for name in by.split("|"))
    assert subnet in str(caught.value)


def test_a_free_explicit_subnet_is_taken_and_a_default_route_takes_nothing() -> None:
    used = network.used_networks(ROUTES, LINKS, [], {})
    assert network.choose_subnet(ID, 3, used, "10.87.3.0/24") == IPv4Network("10.87.3.0/24")


def test_the_chosen_subnet_depends_on_the_id_and_avoids_what_is_used() -> None:
    first = network.choose_subnet(ID, 3, [])
    assert first == network.choose_subnet(ID, 3, [])
    assert first != network.choose_subnet("fedcba9876543210", 3, [])
    assert first.subnet_of(network.POOLS[0])
    second = network.choose_subnet(ID, 3, [network.Used(first, "lab other")])
    assert not second.overlaps(first)


def test_a_vpn_that_routes_all_of_ten_leaves_other_private_ranges() -> None:
    used = network.used_networks([{"dst": "10.0.0.0/8", "dev": "tun0"}, *ROUTES], LINKS, [], {})
    chosen = network.choose_subnet(ID, 3, used)
    assert chosen.subnet_of(IPv4Network("172.16.0.0/12"))
    assert not chosen.overlaps(IPv4Network("172.17.0.0/16"))


def test_a_machine_without_any_free_range_is_told_so() -> None:
    used = [network.Used(pool, "a route via tun0") for pool in network.POOLS]
    with pytest.raises(PreflightError, match="no private subnet"):
        network.choose_subnet(ID, 3, used)


@pytest.mark.parametrize(("hosts", "length"), [(1, 24), (126, 24), (127, 23), (1000, 21)])
def test_a_subnet_has_room_for_twice_the_hosts(hosts: int, length: int) -> None:
    assert network.prefix_length(hosts) == length


def test_hosts_keep_their_addresses_when_others_come() -> None:
    subnet = IPv4Network("10.1.2.0/24")
    first = network.allot(subnet, ["head", "worker1"], {})
    assert first == {"head": "10.1.2.2", "worker1": "10.1.2.3"}
    assert network.allot(subnet, ["extra", "worker1"], first) == {**first, "extra": "10.1.2.4"}


def test_an_address_that_became_free_is_given_again() -> None:
    allotted = network.allot(IPv4Network("10.1.2.0/29"), ["b"], {"a": "10.1.2.3"})
    assert allotted["b"] == "10.1.2.2"


def test_a_full_subnet_says_so() -> None:
    with pytest.raises(ProviderError, match="no address left for host h6"):
        network.allot(IPv4Network("10.1.2.0/29"), [f"h{n}" for n in range(1, 7)], {})


def test_a_bridge_name_fits_the_kernels_fifteen_characters() -> None:
    assert len(network.bridge_name(ID)) == 15


def test_the_resolver_is_the_upstream_one_not_the_local_stub(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("nameserver 127.0.0.53\noptions edns0\n")
    real.write_text("# by hand\nnameserver 192.0.2.53\nnameserver fe80::1\nsearch example.org\n")
    files = [str(stub), str(tmp_path / "none"), str(real)]
    assert network.upstream_resolv_conf(files) == ["nameserver 192.0.2.53", "search example.org"]


def test_without_a_reachable_name_server_none_is_invented(tmp_path: Path) -> None:
    stub = tmp_path / "stub"
    stub.write_text("nameserver 127.0.0.1\nnameserver ::1\n")
    assert network.upstream_resolv_conf([str(stub)]) == []
