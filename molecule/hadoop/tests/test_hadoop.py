# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A converged Hadoop cluster, seen from its hosts and from its users."""

from __future__ import annotations

import json
import socket

import pytest
from testinfra.host import Host


def get_json(host: Host, url: str) -> dict:
    return json.loads(host.check_output(f"curl -sf '{url}'"))


def running_since(host: Host, unit: str) -> str:
    return host.check_output(f"systemctl show -P ActiveEnterTimestampMonotonic {unit}")


@pytest.mark.parametrize("unit", ["hdfs-namenode", "yarn-resourcemanager", "mapred-historyserver", "labctl-firewall"])
def test_head_runs_its_daemons_now_and_at_boot(head: Host, unit: str) -> None:
    assert head.service(unit).is_running
    assert head.service(unit).is_enabled


@pytest.mark.parametrize("unit", ["hdfs-datanode", "yarn-nodemanager", "labctl-firewall"])
def test_workers_run_their_daemons_now_and_at_boot(worker: Host, unit: str) -> None:
    assert worker.service(unit).is_running
    assert worker.service(unit).is_enabled


def test_no_host_is_degraded(host: Host) -> None:
    assert host.check_output("systemctl --failed --no-legend --plain") == ""


def test_daemons_run_as_their_own_users(head: Host, worker: Host) -> None:
    users = {
        (host, unit): host.check_output(f"ps -o user= -p $(systemctl show -P MainPID {unit})")
        for host, units in {
            head: ("hdfs-namenode", "yarn-resourcemanager", "mapred-historyserver"),
            worker: ("hdfs-datanode", "yarn-nodemanager"),
        }.items()
        for unit in units
    }
    expected = {"hdfs-namenode": "hdfs", "hdfs-datanode": "hdfs", "mapred-historyserver": "mapred"}
    assert all(user == expected.get(unit, "yarn") for (_, unit), user in users.items())


def test_units_are_hardened(head: Host) -> None:
    for unit in ("hdfs-namenode", "yarn-resourcemanager", "mapred-historyserver"):
        verdict = head.check_output(f"systemd-analyze security --no-pager {unit} | tail -1")
        exposure = float(verdict.split(":")[1].split()[0])
        assert exposure < 3.5, verdict


def test_the_cluster_counts_both_workers(head: Host) -> None:
    query = "http://head:9870/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"
    assert get_json(head, query)["beans"][0]["NumLiveDataNodes"] == 2
    assert get_json(head, "http://head:8088/ws/v1/cluster/metrics")["clusterMetrics"]["activeNodes"] == 2


@pytest.mark.parametrize("command", ["hadoop version", "hdfs version", "yarn version", "mapred version"])
def test_every_host_has_the_commands(host: Host, command: str) -> None:
    assert "3.5.0" in host.check_output(command)


def test_a_user_stores_and_reads_through_the_commands(worker: Host) -> None:
    worker.check_output(
        "echo hello | HADOOP_USER_NAME=ada hdfs dfs -put -f - /tmp/greeting"
        " && test $(HADOOP_USER_NAME=ada hdfs dfs -cat /tmp/greeting) = hello"
        " && HADOOP_USER_NAME=ada hdfs dfs -rm -skipTrash /tmp/greeting"
    )


def test_an_unknown_subcommand_is_refused_with_the_known_ones(head: Host) -> None:
    answer = head.run("hdfs formt")
    assert answer.rc == 2
    assert "unknown subcommand: formt" in answer.stderr
    assert "namenode" in answer.stderr


def test_the_web_user_owns_nothing(head: Host) -> None:
    answer = head.run("curl -s -X PUT 'http://head:9870/webhdfs/v1/stranger?op=MKDIRS'")
    assert "AccessControlException" in answer.stdout
    assert "user=nobody" in answer.stdout


def test_a_stranger_is_refused_and_the_controller_is_not(head: Host) -> None:
    """Another address on the lab's own network stands for the outside: nothing but the firewall keeps it away."""
    address = head.check_output("hostname -I").split()[0]
    stranger = address.rsplit(".", 1)[0] + ".250"
    head.check_output(
        "ip netns add stranger && ip link add lab0 type veth peer name host0 netns stranger && ip link set lab0 up"
        f" && ip -n stranger addr add {stranger}/24 dev host0 && ip -n stranger link set host0 up"
        f" && ip route add {stranger} dev lab0 && ip -n stranger link set lo up"
    )
    try:
        for port in (8020, 9870, 8088, 8032, 19888):
            answer = head.run(f"ip netns exec stranger curl -s -m 3 http://{address}:{port}/")
            assert answer.rc == 7, f"port {port}: curl ended with {answer.rc}"  # 7: connection refused
        assert head.run(f"ip netns exec stranger ping -c1 -W2 {address}").rc == 0, (
            "the stranger has no route: the test proves nothing"
        )
    finally:
        head.run("ip netns del stranger")
    with socket.create_connection((address, 9870), timeout=5):
        pass


def test_daemons_listen_on_the_labs_addresses_only(worker: Host) -> None:
    for port in (9864, 9866, 9867, 8042, 45454):
        listening = worker.check_output(f"ss -Hltn sport = :{port}").split()
        assert listening, f"nothing listens on port {port}"
        assert not listening[3].startswith(("0.0.0.0", "*", "127.")), listening[3]


def test_the_namenode_is_not_formatted_again(head: Host) -> None:
    refused = head.run(
        "HADOOP_DAEMON_OPTS=-Xmx128m runuser -u hdfs -- hdfs namenode -format -nonInteractive -clusterId CID-other"
    )
    assert refused.rc != 0
    assert "CID-other" not in head.check_output("cat /var/lib/hdfs/namenode/current/VERSION")


def test_no_password_of_anybody_is_known_by_default(host: Host) -> None:
    shadow = host.check_output("cut -d: -f2 /etc/shadow | sort -u").split()
    assert all(field.startswith(("!", "*")) for field in shadow), shadow
