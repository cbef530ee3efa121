# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the nspawn provider says of a lab, from the state files and /proc alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, ProviderError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.providers import provider_for
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import (
    firewall,
    limits,
    maker,
    network,
    state,
    supervisor,
)

HOST_KEY = "ssh-ed25519 AAAA"


def pretend(lab: Lab, *, running: tuple[str, ...] = (), stopped: tuple[str, ...] = (), extra: str = "") -> state.Layout:
    """State files as if hosts had been made; this very process stands for running hosts' supervisors."""
    lab_id = lab.lab_id(create=True)
    layout = state.Layout(lab.name, lab_id)
    layout.folder.mkdir(parents=True, exist_ok=True)
    names = [*running, *stopped, *filter(None, [extra])]
    addresses = {name: f"10.1.2.{number}" for number, name in enumerate(names, start=2)}
    state.write(
        layout.lab_file, state.LabRecord(lab.name, lab_id, str(lab.lab_dir), "10.1.2.0/24", "labctl-x", addresses)
    )
    started = supervisor.start_time(os.getpid()) or 0
    for name in names:
        state.write(layout.host_file(name), state.HostRecord(name, addresses[name], "0" * 16, HOST_KEY))
        ours = state.RunRecord(os.getpid(), started if name in running else started - 1, supervisor.boot_id())
        state.write(layout.run_file(name), ours)
    return layout


@pytest.fixture
def whole_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "bridge_present", lambda bridge, lab_id: True)
    monkeypatch.setattr(firewall, "forwarding_on", lambda: True)
    monkeypatch.setattr(limits, "low", lambda: False)
    monkeypatch.setattr(firewall, "complete", lambda *_: True)


def test_before_anything_exists_hosts_have_variables_but_no_address(
    make_lab: Callable[..., Lab], machine: Path
) -> None:
    lab = make_lab()
    hosts = {host.name: host for host in provider_for(lab).hosts()}
    assert list(hosts) == ["head", "worker1", "worker2"]
    head = hosts["head"]
    assert (head.state, head.address) == ("absent", "")
    assert not {"ansible_host", "lab_address"} & set(head.variables)
    assert head.variables["motto"] == "{{ 1 + 1 }}"
    assert head.variables["ansible_ssh_args"] == f"-F {lab.lab_dir}/ssh/config"
    assert head.variables["labctl_store"] == "/var/lib/labctl/store"
    assert not machine.exists()
    assert not lab.lab_dir.exists()


def test_hosts_are_what_their_records_and_processes_say(make_lab: Callable[..., Lab], machine: Path) -> None:
    lab = make_lab()
    pretend(lab, running=("head",), stopped=("worker1",))
    hosts = {host.name: host for host in provider_for(lab).hosts()}
    assert {name: host.state for name, host in hosts.items()} == {
        "head": "running",
        "worker1": "stopped",
        "worker2": "absent",
    }
    variables = hosts["worker1"].variables
    assert variables["ansible_host"] == variables["lab_address"] == "10.1.2.3"
    assert variables["lab_controller_addresses"] == ["10.1.2.1"]
    assert variables["lab_id"] == lab.lab_id()


def test_a_host_that_sees_another_store_is_not_sent_there(make_lab: Callable[..., Lab], machine: Path) -> None:
    lab = make_lab()
    layout = pretend(lab, running=("head",))
    assert "labctl_store" not in provider_for(lab).hosts()[0].variables
    run = layout.run("head")
    assert run is not None
    state.write(layout.run_file("head"), state.RunRecord(run.pid, run.start, run.boot, store=str(maker.store_dir())))
    assert "labctl_store" in provider_for(lab).hosts()[0].variables


def test_the_plan_has_each_hosts_part(make_lab: Callable[..., Lab], machine: Path, whole_network: None) -> None:
    lab = make_lab()
    layout = pretend(lab, running=("head",), stopped=("worker1",), extra="gone")
    layout.host_dir("worker2").mkdir()
    assert [(change.host, change.action, change.reason) for change in provider_for(lab).plan()] == [
        ("head", "keep", "it is running"),
        ("worker1", "start", "it is not running"),
        ("worker2", "create", "it is half-made"),
        ("gone", "remove", "lab.yml no longer has it"),
    ]


def test_a_missing_bridge_concerns_running_hosts(make_lab: Callable[..., Lab], machine: Path) -> None:
    lab = make_lab()
    pretend(lab, running=("head",), stopped=("worker1", "worker2"))
    plan = {change.host: change for change in provider_for(lab).plan()}
    assert (plan["head"].action, plan["head"].reason) == ("start", "the lab's bridge is missing")


def test_a_lab_of_the_same_name_and_another_id_is_refused(make_lab: Callable[..., Lab], machine: Path) -> None:
    first, second = make_lab(folder="one"), make_lab(folder="two")
    pretend(first, running=("head",))
    for again in ("without an id", "with another id"):
        with pytest.raises(ProviderError, match=first.lab_id()) as caught:
            provider_for(second).plan()
        assert str(first.lab_dir) in str(caught.value), again
        second.lab_id(create=True)
    assert not [host for host in provider_for(second).hosts() if host.state != "absent"]


def test_an_unknown_image_is_bad_input(make_lab: Callable[..., Lab], machine: Path) -> None:
    lab = make_lab("name: demo\nprovider: {type: nspawn, image: plan9}\nhosts: {a: {}}\n")
    with pytest.raises(InputError, match="plan9"):
        provider_for(lab)
