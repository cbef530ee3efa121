# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labs beside each other and beside the rest of the world, and interrupted commands."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError, ProviderError
from integration.provider.conftest import MakeLab
from integration.provider.real_lab import python

pytestmark = pytest.mark.root

APPLY = """
import os, signal
from pathlib import Path
from integration.provider.real_lab import RealLab
lab, number, at = RealLab(Path(sys.argv[1])), getattr(signal, sys.argv[2]), int(sys.argv[3])
steps = 0
def progress(host, step):
    global steps
    steps += 1
    if steps == at:
        os.kill(os.getpid(), number)
lab.provider.apply(progress)
print("done", flush=True)
signal.pause()
"""


@contextmanager
def outside() -> Iterator[list[str]]:
    """Another machine that routes all by us, as the command prefix that runs something there."""
    name = f"pt-{os.getpid()}"
    commands = [
        f"ip netns add {name}",
        f"ip link add {name} type veth peer name wan netns {name}",
        f"ip address add 198.18.77.1/30 dev {name}",
        f"ip link set {name} up",
        f"ip -n {name} address add 198.18.77.2/30 dev wan",
        f"ip -n {name} link set wan up",
        f"ip -n {name} route add default via 198.18.77.1",
    ]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True)
        yield ["nsenter", f"--net=/run/netns/{name}"]
    finally:
        subprocess.run(["ip", "link", "delete", name], check=False)
        subprocess.run(["ip", "netns", "delete", name], check=False)


def connects(prefix: list[str], address: str) -> bool:
    """Whether a connection to ssh can be opened from there."""
    script = f"import socket; socket.create_connection(({address!r}, 22), timeout=2)"
    return subprocess.run([*prefix, "/usr/bin/python3", "-c", script], capture_output=True, check=False).returncode == 0


def test_nobody_outside_gets_in_and_hosts_get_out(make_real_lab: MakeLab) -> None:
    lab = make_real_lab()
    lab.up()
    address = lab.host("one").address
    with outside() as prefix:
        assert not connects(prefix, address)
        # The way is there: it is the rule that closes it.
        hole = ["FORWARD", "-s", "198.18.77.0/30", "-d", address, "-j", "ACCEPT"]
        subprocess.run(["iptables", "-w", "-I", *hole], check=True)
        try:
            assert connects(prefix, address)
        finally:
            subprocess.run(["iptables", "-w", "-D", *hole], check=True)
        listen = "import socket; s = socket.create_server(('', 2222)); print('up', flush=True); print(s.accept()[1][0])"
        server = subprocess.Popen([*prefix, "/usr/bin/python3", "-c", listen], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        assert server.stdout.readline() == "up\n"
        lab.ssh("one", "timeout 5 bash -c '< /dev/tcp/198.18.77.2/2222'")
        assert server.communicate(timeout=10)[0].strip() == "198.18.77.1", "seen as this machine"


def test_two_labs_live_side_by_side_and_apart(make_real_lab: MakeLab) -> None:
    first, second = make_real_lab(), make_real_lab()
    first.up()
    second.up()
    address = first.host("one").address
    assert address.rsplit(".", 1)[0] != second.host("one").address.rsplit(".", 1)[0]
    assert second.ssh("one", f"timeout 2 bash -c '< /dev/tcp/{address}/22' && echo open", check=False) == ""
    second.provider.destroy()
    assert second.leftovers() == []
    assert first.ssh("one", "hostname") == "one"
    assert {change.action for change in first.provider.plan()} == {"keep"}


def test_hosts_of_another_id_are_not_touched(make_real_lab: MakeLab) -> None:
    lab = make_real_lab()
    lab.up()
    name, pid = lab.lab.name, lab.pid("one")
    twin = make_real_lab(name=name)
    for again in range(2):
        for action in (twin.provider.plan, twin.provider.apply):
            with pytest.raises(ProviderError, match=lab.id):
                action()
        if again == 0:
            with pytest.raises(ProviderError, match=lab.id):
                twin.provider.destroy()
        else:
            assert twin.provider.destroy() == []
        twin.lab.lab_id(create=True)
    assert lab.pid("one") == pid
    assert lab.ssh("one", "hostname") == "one"


def test_a_lost_id_can_be_put_back(make_real_lab: MakeLab) -> None:
    lab = make_real_lab()
    lab.up()
    shutil.rmtree(lab.lab.lab_dir)
    with pytest.raises(ProviderError, match=lab.id) as caught:
        lab.provider.destroy()
    assert str(lab.lab.lab_dir / "id") in caught.value.hint
    lab.lab.lab_dir.mkdir()
    (lab.lab.lab_dir / "id").write_text(lab.id + "\n")
    assert "host one" in lab.provider.destroy()
    assert lab.leftovers() == []


def test_a_subnet_in_use_is_refused_before_anything_is_made(make_real_lab: MakeLab) -> None:
    lab = make_real_lab()
    lab.up()
    record = lab.layout.lab()
    assert record is not None
    second = make_real_lab(provider=f"{{type: nspawn, subnet: {record.subnet}}}")
    with pytest.raises(PreflightError) as caught:
        second.provider.preflight()
    assert record.name in caught.value.report
    with pytest.raises(PreflightError, match=record.name):
        second.provider.apply()
    assert second.lab.lab_id()
    assert second.leftovers() == []


def test_an_explicit_subnet_is_taken_and_not_changed_later(make_real_lab: MakeLab) -> None:
    lab = make_real_lab(provider="{type: nspawn, subnet: 10.187.93.16/29}")
    lab.up()
    assert lab.host("one").address == "10.187.93.18"
    lab.write((lab.folder / "lab.yml").read_text().replace("93.16/29", "94.0/24"))
    with pytest.raises(ProviderError, match=r"has subnet 10\.187\.93\.16/29"):
        lab.provider.apply()


def test_a_host_outlives_what_made_it(make_real_lab: MakeLab) -> None:
    lab = make_real_lab()
    maker = python(APPLY, str(lab.folder), "SIGHUP", "0")
    assert maker.stdout is not None
    assert maker.stdout.readline() == "done\n"
    pid = lab.pid("one")
    # All that a closed terminal and a Ctrl-C do: they reach the whole process group.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(maker.pid, number)
        except ProcessLookupError:
            break
    maker.wait()
    maker.stdout.close()
    assert lab.host("one").state == "running"
    assert lab.pid("one") == pid
    assert lab.ssh("one", "hostname") == "one"
    assert os.getsid(pid) == pid
    held = {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in range(3)}
    assert held == {"/dev/null", str(lab.layout.log("one"))}


@pytest.mark.parametrize("number", ["SIGINT", "SIGKILL"])
def test_an_interrupted_apply_is_finished_by_the_next_or_removed(make_real_lab: MakeLab, number: str) -> None:
    """Interrupted at each step it tells of, one after the other, until it comes through."""
    lab = make_real_lab()
    for at in range(1, 20):
        maker = python(APPLY, str(lab.folder), number, str(at))
        assert maker.stdout is not None
        first = maker.stdout.readline()
        if first == "done\n":
            maker.kill()
        maker.communicate(timeout=30)
        if first == "done\n":
            break
        if at % 2:
            lab.provider.destroy()
            assert lab.leftovers() == [], f"after step {at}"
            assert {host.state for host in lab.provider.hosts()} == {"absent"}
        else:
            lab.up()
            assert lab.ssh("one", "hostname") == "one"
            assert {change.action for change in lab.provider.plan()} == {"keep"}
            lab.provider.destroy()
            assert lab.leftovers() == [], f"after step {at}"
    assert at > 4


def test_two_applies_at_once_do_not_meet(make_real_lab: MakeLab) -> None:
    lab = make_real_lab("{one: {}, two: {}}")
    makers = [python(APPLY, str(lab.folder), "SIGHUP", "0") for _ in range(2)]
    said = []
    for maker in makers:
        assert maker.stdout is not None
        lines = maker.stdout.readline()
        # The one that came first stays after its work; the one that was refused has its reason to tell yet.
        if "done" in lines:
            maker.kill()
        said.append(lines + maker.communicate()[0])
    assert any("done" in text for text in said)
    assert all("done" in text or "LockedError" in text for text in said), said
    assert {host.state for host in lab.provider.hosts()} == {"running"}


def test_one_host_that_cannot_boot_does_not_stop_the_others(make_real_lab: MakeLab) -> None:
    lab = make_real_lab("{good: {}, bad: {}}")
    lab.up()
    lab.ssh("bad", "rm -rf /usr/lib/systemd/systemd /sbin/init /usr/sbin/init; sync")
    for name in ("good", "bad"):
        os.kill(lab.pid(name), signal.SIGKILL)
    with pytest.raises(ProviderError, match="1 of 2 hosts") as caught:
        lab.up()
    assert "host bad" in caught.value.report
    assert lab.ssh("good", "hostname") == "good"
    lab.provider.destroy()
    assert lab.leftovers() == []
