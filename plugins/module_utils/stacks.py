# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the stacks there are, their groups, and what their hosts need.

One table, read by the lab model (which words are valid), by the providers (what an image carries) and by the
command (what to fetch while hosts boot).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stack:
    """A playbook that composes roles.

    ``groups`` maps each inventory group the playbook reads to a line that says what its hosts do. ``packages``
    are Debian packages that an image carries, so that they come from outside once per lab and not once per host.
    ``artifacts`` are catalogue names; ``needs`` are stacks that must be there first. ``roles`` are those whose
    manifests the playbook leaves, in its order: what a role does may depend on those before it, on none after it.
    ``nesting`` are groups whose hosts start containers themselves, and need the rights for it where they are
    containers. ``volumes`` maps groups to folders that want a file system of the machine's, where a host's root is
    an overlay. ``calls`` maps groups to system calls that their hosts make and containers commonly may not. Hosts of
    the groups in ``leaves`` can be taken out of a stack that runs, by the playbook STACK_leave.
    """

    name: str
    summary: str
    groups: dict[str, str]
    roles: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    nesting: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    volumes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    calls: dict[str, tuple[str, ...]] = field(default_factory=dict)


STACKS: dict[str, Stack] = {
    stack.name: stack
    for stack in (
        Stack(
            name="hadoop",
            summary="HDFS and YARN, with the MapReduce history server",
            groups={
                "hdfs_namenode": "runs the HDFS NameNode; one host",
                "hdfs_datanode": "runs an HDFS DataNode and stores blocks",
                "yarn_resourcemanager": "runs the YARN ResourceManager; one host",
                "yarn_nodemanager": "runs a YARN NodeManager, and with it the containers of jobs",
                "mapred_historyserver": "runs the MapReduce JobHistory server; one host",
                "hadoop_client": "has the hdfs, yarn, mapred and hadoop commands and their configuration, no daemon",
            },
            roles=("hdfs", "yarn"),
            packages=("default-jre-headless",),
            artifacts=("hadoop",),
        ),
        Stack(
            name="k8s",
            summary="Kubernetes, with flannel, CoreDNS and kube-proxy",
            groups={
                "k8s_master": "runs a control plane with its etcd; an odd number of hosts",
                "k8s_node": "runs pods",
            },
            roles=("containerd", "haproxy", "k8s_master", "k8s_node", "flannel"),
            packages=("conntrack", "ethtool", "haproxy", "socat"),
            artifacts=(
                "containerd",
                "runc",
                "cni-plugins",
                "flannel-cni",
                "crictl",
                "kubernetes",
                "image-pause",
                "image-etcd",
                "image-kube-apiserver",
                "image-kube-controller-manager",
                "image-kube-scheduler",
                "image-kube-proxy",
                "image-coredns",
                "image-flannel",
                "image-labweb",
            ),
            nesting=("k8s_master", "k8s_node"),
            leaves=("k8s_node",),
            volumes={
                "k8s_master": ("/var/lib/containerd", "/var/lib/etcd", "/var/lib/kubelet"),
                "k8s_node": ("/var/lib/containerd", "/var/lib/kubelet"),
            },
        ),
        Stack(
            name="nfs",
            summary="NFS version 4: folders of one host on all",
            groups={
                "nfs_server": "exports folders by NFS; one host",
                "nfs_client": "mounts what the server exports",
            },
            roles=("nfs", "nfs_csi"),
            packages=("libnfs-utils", "nfs-common", "nfs-ganesha", "nfs-ganesha-vfs", "rpcbind"),
            volumes={"nfs_server": ("/srv/nfs",)},
            # By which a server finds a file that a client names. It reaches all of the file system the folder lies on.
            calls={"nfs_server": ("open_by_handle_at",)},
        ),
    )
}


def known_groups() -> dict[str, str]:
    """Every group some stack reads, with the name of that stack."""
    return {group: stack.name for stack in STACKS.values() for group in stack.groups}


def nests(groups: Iterable[str]) -> bool:
    """Whether a host in these groups starts containers itself."""
    return any(set(stack.nesting) & set(groups) for stack in STACKS.values())


def volumes(groups: Iterable[str]) -> tuple[str, ...]:
    """The folders of a host in these groups that want a file system of the machine's."""
    wanted = set(groups)
    return tuple(
        sorted({path for stack in STACKS.values() for group in wanted for path in stack.volumes.get(group, ())})
    )


def calls(groups: Iterable[str]) -> tuple[str, ...]:
    """The system calls that a host in these groups makes and containers commonly may not."""
    wanted = set(groups)
    return tuple(sorted({call for stack in STACKS.values() for group in wanted for call in stack.calls.get(group, ())}))


def in_order(names: tuple[str, ...]) -> tuple[str, ...]:
    """The named stacks and all they need, each after what it needs, without repeats. KeyError for an unknown name."""
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name in ordered:
            return
        for needed in STACKS[name].needs:
            visit(needed)
        ordered.append(name)

    for name in names:
        visit(name)
    return tuple(ordered)
