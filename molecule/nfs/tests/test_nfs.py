# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A converged NFS lab, used by clients that speak NFS version 4 themselves."""

from __future__ import annotations

import hashlib
import time

import pytest
from testinfra.backend.base import CommandResult
from testinfra.host import Host

SHARED = "nfs://store/shared"


def put(client: Host, content: str, path: str, who: str = "") -> CommandResult:
    """Write a file through NFS; ``who`` is a URL's arguments that say which user and group the client claims."""
    client.check_output(f"printf %s '{content}' > /tmp/put")
    return client.run(f"nfs-cp /tmp/put 'nfs://store{path}?version=4{who}'")


def cat(client: Host, path: str) -> str:
    return client.check_output(f"nfs-cat 'nfs://store{path}?version=4'")


def test_the_server_runs_now_and_at_boot_and_is_hardened(store: Host) -> None:
    unit = store.service("nfs-ganesha")
    assert unit.is_running
    assert unit.is_enabled
    verdict = store.check_output("systemd-analyze security --no-pager nfs-ganesha | tail -1")
    assert float(verdict.split(":")[1].split()[0]) < 5, verdict


def test_no_host_is_degraded_and_no_portmapper_listens(host: Host) -> None:
    assert host.check_output("systemctl --failed --no-legend --plain") == ""
    assert host.check_output("ss -Hltnu sport = :111") == ""


def test_only_the_server_serves_and_on_the_labs_address_and_one_port(store: Host, client: Host) -> None:
    listening = [line.split()[3] for line in store.check_output("ss -Hltnp").splitlines() if "ganesha" in line]
    assert [address.rpartition(":")[2] for address in listening] == ["2049"]
    assert not listening[0].startswith(("0.0.0.0", "*", "127.", "[::]"))
    assert client.check_output("ss -Hltn sport = :2049") == ""


def test_what_one_client_writes_another_reads_and_the_server_holds(store: Host, one: Host, two: Host) -> None:
    digest = one.check_output("head -c 9000001 /dev/urandom > /tmp/big; sha256sum < /tmp/big").split()[0]
    one.check_output(f"nfs-cp /tmp/big '{SHARED}/big?version=4'")
    assert two.check_output(f"nfs-cat '{SHARED}/big?version=4' | sha256sum").split()[0] == digest
    assert store.file("/srv/nfs/shared/big").sha256sum == digest
    assert " big" in two.check_output(f"nfs-ls '{SHARED}?version=4'")


def test_root_of_a_client_is_nobody_and_others_are_who_they_say(store: Host, one: Host) -> None:
    assert put(one, "root", "/shared/as-root").rc == 0
    assert put(one, "ada", "/shared/as-ada", "&uid=1234&gid=1235").rc == 0
    owners = "stat -c %u:%g /srv/nfs/shared/as-root /srv/nfs/shared/as-ada"
    assert store.check_output(owners).split() == ["65534:65534", "1234:1235"]
    store.check_output("chmod 600 /srv/nfs/shared/as-ada")
    path = f"{SHARED}/as-ada?version=4"
    assert one.check_output(f"nfs-cat '{path}&uid=1234&gid=1235'") == "ada"
    for stranger in ("", "&uid=1&gid=1"):
        answer = one.run(f"nfs-cat '{path}{stranger}'")
        assert answer.rc != 0, "another user's file was read"
        assert "NFS4ERR_ACCESS" in answer.stderr


def test_an_export_serves_those_that_it_lists_and_nobody_else(store: Host, one: Host, two: Host) -> None:
    assert put(one, "mine", "/private/as-root").rc == 0
    assert store.check_output("stat -c %u:%g /srv/nfs/private/as-root") == "0:0", "no_root_squash"
    assert cat(one, "/private/as-root") == "mine"
    refused = two.run("nfs-cat 'nfs://store/private/as-root?version=4'")
    assert refused.rc != 0
    assert "mine" not in refused.stdout
    assert put(two, "theirs", "/private/theirs").rc != 0
    assert store.check_output("ls /srv/nfs/private") == "as-root"


def test_a_read_only_export_is_read_only(store: Host, one: Host) -> None:
    store.check_output("printf %s picture > /srv/nfs/images/one")
    assert cat(one, "/images/one") == "picture"
    answer = put(one, "new", "/images/two")
    assert answer.rc != 0
    assert "NFS4ERR_ROFS" in answer.stderr, answer
    assert store.check_output("ls /srv/nfs/images") == "one"


def test_a_stranger_on_the_labs_network_is_refused(store: Host, one: Host) -> None:
    """Another address on the lab's own network stands for the outside: nothing but the list of clients bars it."""
    address = store.check_output("hostname -I").split()[0]
    stranger = address.rsplit(".", 1)[0] + ".250"
    assert put(one, "inside", "/shared/inside").rc == 0
    one.check_output(
        "ip netns add stranger && ip link add lab0 type veth peer name host0 netns stranger && ip link set lab0 up"
        f" && ip -n stranger addr add {stranger}/24 dev host0 && ip -n stranger link set host0 up"
        " && sysctl -qw net.ipv4.conf.all.proxy_arp=1 net.ipv4.ip_forward=1"
        f" && ip route add {stranger} dev lab0 && ip -n stranger link set lo up"
    )
    try:
        ask = f"ip netns exec stranger nfs-cat 'nfs://{address}/shared/inside?version=4'"
        answer = one.run(f"timeout 20 {ask}")
        assert answer.rc not in (0, 124), answer
        assert "inside" not in answer.stdout
        assert one.run(f"ip netns exec stranger timeout 5 bash -c '</dev/tcp/{address}/2049'").rc == 0, (
            "the stranger has no route: the test proves nothing"
        )
    finally:
        one.run("ip netns del stranger; sysctl -qw net.ipv4.conf.all.proxy_arp=0 net.ipv4.ip_forward=0")


def test_a_user_of_a_client_who_is_not_its_root_cannot_speak_for_others(one: Host) -> None:
    assert put(one, "secret", "/shared/of-ada", "&uid=1234&gid=1234").rc == 0
    answer = one.run(f"timeout 20 runuser -u nobody -- nfs-cat '{SHARED}/of-ada?version=4&uid=1234&gid=1234'")
    assert answer.rc not in (0, 124), answer
    assert "secret" not in answer.stdout


@pytest.mark.parametrize("end", ["systemctl restart nfs-ganesha", "systemctl kill -s KILL nfs-ganesha"])
def test_the_server_comes_back_with_what_was_stored(store: Host, one: Host, end: str) -> None:
    digest = hashlib.sha256(b"kept").hexdigest()
    name = f"/shared/kept-{time.time_ns()}"
    assert put(one, "kept", name).rc == 0
    before = store.check_output("systemctl show -P InvocationID nfs-ganesha")
    store.check_output(end)
    begun = time.monotonic()
    while True:
        answer = one.run(f"timeout 10 nfs-cat 'nfs://store{name}?version=4' | sha256sum")
        if answer.stdout.startswith(digest) and put(one, "more", f"{name}-more").rc == 0:
            break
        assert time.monotonic() - begun < 60, answer
        time.sleep(0.5)
    assert store.check_output("systemctl show -P InvocationID nfs-ganesha") != before
