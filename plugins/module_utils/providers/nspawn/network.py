# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: a lab's subnet and addresses (pure), and its bridge."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network
from pathlib import Path
from typing import Any

from ...errors import PreflightError, ProviderError
from ..command import run

#: Where labs' subnets are taken from, in this order; a VPN may well route all of the first.
POOLS = (IPv4Network("10.192.0.0/10"), IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16"))
#: Every lab's bridge begins so; the firewall tells labs from the rest of the world by it.
BRIDGE_PREFIX = "labctl-"


@dataclass(frozen=True)
class Used:
    """A network that is taken, and by what."""

    network: IPv4Network
    by: str


def bridge_name(lab_id: str) -> str:
    """The bridge of a lab. The kernel takes at most 15 characters, hence half of the id."""
    return f"{BRIDGE_PREFIX}{lab_id[:8]}"


def prefix_length(hosts: int) -> int:
    """A /24, or what holds twice the hosts, so that a lab can grow."""
    length = 24
    while 2 ** (32 - length) < 2 * hosts + 3 and length > 16:
        length -= 1
    return length


def used_networks(
    routes: list[dict[str, Any]], addresses: list[dict[str, Any]], nameservers: list[str], labs: Mapping[str, str]
) -> list[Used]:
    """What must not be taken, from ``ip -json route`` and ``ip -json address``, and labs as name -> subnet.

    Gateways and name servers count, too: they may lie beyond a default route, in a private range nothing else names.
    """
    used = []

    def add(text: str, by: str) -> None:
        with contextlib.suppress(ValueError):
            network = ip_network(text, strict=False)
            if isinstance(network, IPv4Network) and network.prefixlen > 0:
                used.append(Used(network, by))

    for name, subnet in labs.items():
        add(subnet, f"lab {name}")
    for link in addresses:
        for entry in link.get("addr_info", []):
            if "local" in entry:
                add(f"{entry['local']}/{entry.get('prefixlen', 32)}", f"interface {link.get('ifname', '?')}")
    for route in routes:
        add(str(route.get("dst", "")), f"a route via {route.get('dev', route.get('type', '?'))}")
        add(str(route.get("gateway", "")), f"a gateway on {route.get('dev', '?')}")
    for server in nameservers:
        add(server, "a name server")
    return used


def collision(network: IPv4Network, used: Iterable[Used]) -> Used | None:
    """The first taken network that overlaps this one."""
    return next((entry for entry in used if entry.network.overlaps(network)), None)


def choose_subnet(lab_id: str, hosts: int, used: list[Used], explicit: str | None = None) -> IPv4Network:
    """A free subnet; PreflightError where the explicit one is taken, or where none is free.

    The search starts at a place that depends on the lab's id, so that labs of several machines in one network
    seldom meet.
    """
    if explicit is not None:
        network = IPv4Network(explicit)
        if taken := collision(network, used):
            raise PreflightError(
                f"subnet {network} is in use by {taken.by} ({taken.network})",
                hint="choose another subnet in lab.yml, or leave it out: labctl then finds a free one",
            )
        return network
    length = prefix_length(hosts)
    seed = int(hashlib.sha256(lab_id.encode()).hexdigest(), 16)
    for pool in POOLS:
        count = 2 ** (length - pool.prefixlen)
        for step in range(count):
            start = int(pool.network_address) + (seed + step) % count * 2 ** (32 - length)
            network = IPv4Network((start, length))
            if collision(network, used) is None:
                return network
    raise PreflightError("no private subnet is free on this machine", hint="set provider.subnet in lab.yml")


def gateway(subnet: IPv4Network) -> IPv4Address:
    """The machine's own address on the lab's bridge: the first."""
    return subnet.network_address + 1


def allot(subnet: IPv4Network, hosts: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """Addresses for all hosts; those known keep theirs. ProviderError where the subnet is full."""
    allotted = dict(known)
    taken = set(known.values())
    free = (address for address in subnet.hosts() if address != gateway(subnet) and str(address) not in taken)
    for host in hosts:
        if host not in allotted:
            address = next(free, None)
            if address is None:
                raise ProviderError(
                    f"subnet {subnet} has no address left for host {host}",
                    hint="labctl down, then labctl up: the lab gets a bigger one",
                )
            allotted[host] = str(address)
    return allotted


def read_used(labs: Mapping[str, str]) -> list[Used]:
    """What is taken on this machine now."""
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]) or "[]")
    addresses = json.loads(run(["ip", "-json", "-4", "address", "show"]) or "[]")
    return used_networks(routes, addresses, upstream_nameservers(), labs)


RESOLV_FILES = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf")


def upstream_resolv_conf(files: Iterable[str] = RESOLV_FILES) -> list[str]:
    """The lines of the first resolver file that names a server hosts can reach: IPv4, and not a local stub."""
    for name in files:
        try:
            text = Path(name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        lines = [line.strip() for line in text.splitlines()]
        servers = [line for line in lines if re.match(r"nameserver\s", line) and _reachable(line.split()[1])]
        if servers:
            return servers + [line for line in lines if re.match(r"(search|options)\s", line)]
    return []


def _reachable(server: str) -> bool:
    try:
        address = ip_address(server)
    except ValueError:
        return False
    return address.version == 4 and not address.is_loopback


def upstream_nameservers() -> list[str]:
    return [line.split()[1] for line in upstream_resolv_conf() if line.startswith("nameserver")]


# The bridge -----------------------------------------------------------------------------------------------------


def alias(lab_id: str) -> str:
    return f"labctl-{lab_id}"


def bridge_alias(bridge: str) -> str | None:
    """The alias of an interface, which carries the whole id; None where there is no such interface."""
    folder = Path("/sys/class/net") / bridge
    if not folder.exists():
        return None
    with contextlib.suppress(OSError):
        return (folder / "ifalias").read_text(encoding="utf-8").strip()
    return ""


def bridge_present(bridge: str, lab_id: str) -> bool:
    return bridge_alias(bridge) == alias(lab_id)


def ensure_bridge(bridge: str, lab_id: str, subnet: IPv4Network) -> bool:
    """Make the bridge with its address where it is missing; whether it was."""
    found = bridge_alias(bridge)
    if found == alias(lab_id):
        return False
    if found:
        raise ProviderError(f"interface {bridge} belongs to {found}", hint="labctl down in that lab's folder")
    # An address of its own: else the bridge takes its ports' lowest, which changes as hosts come and go.
    hardware = "02:" + ":".join(hashlib.sha256(lab_id.encode()).hexdigest()[i : i + 2] for i in range(0, 10, 2))
    if found is None:
        run(["ip", "link", "add", "name", bridge, "address", hardware, "type", "bridge"])
    address = f"{gateway(subnet)}/{subnet.prefixlen}"
    # The alias comes last: a bridge that has it is whole.
    run(["ip", "address", "replace", address, "broadcast", "+", "dev", bridge])
    run(["ip", "link", "set", bridge, "addrgenmode", "none", "up"])
    _quick_neighbours(bridge)
    run(["ip", "link", "set", bridge, "alias", alias(lab_id)])
    return True


def _quick_neighbours(bridge: str) -> None:
    """Ask for a booting host's hardware address every 50 ms, not every second: else ssh is seen up to 1 s late."""
    folder = Path("/proc/sys/net/ipv4/neigh") / bridge
    for key, value in (("retrans_time_ms", "50"), ("mcast_solicit", "20"), ("ucast_solicit", "20")):
        with contextlib.suppress(OSError):
            (folder / key).write_text(value, encoding="ascii")


def remove_bridge(bridge: str, lab_id: str) -> bool:
    """Remove the lab's bridge, also a half-made one without alias; never another lab's."""
    if bridge_alias(bridge) not in ("", alias(lab_id)):
        return False
    # A busy kernel leaves the interfaces of hosts that have ended there for a while.
    for port in (Path("/sys/class/net") / bridge / "brif").glob("vb-labctl-*"):
        run(["ip", "link", "delete", port.name], check=False)
    run(["ip", "link", "delete", bridge, "type", "bridge"])
    return True


def ensure_port(bridge: str, leader: int) -> bool:
    """Put a running host's interface back on its bridge, after the bridge was made anew; whether it was off."""
    try:
        # The host's sysfs shows its own network: iflink is the number of the other end, which is ours.
        number = Path(f"/proc/{leader}/root/sys/class/net/host0/iflink").read_text(encoding="ascii").strip()
    except OSError:
        return False
    for entry in Path("/sys/class/net").iterdir():
        with contextlib.suppress(OSError):
            if (entry / "ifindex").read_text(encoding="ascii").strip() != number:
                continue
            if (entry / "master").resolve().name == bridge:
                return False
            run(["ip", "link", "set", entry.name, "master", bridge, "up"])
            return True
    return False
