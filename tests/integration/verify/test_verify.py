# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verifier on a real host: whatever is done to what labctl manages is named, and nothing else is."""

from __future__ import annotations

import base64
import json
import random
import zlib
from pathlib import Path

import pytest
from integration.verify.conftest import TASKS, Verified
from integration.verify.harms import Harm, every_harm, of_files, of_folders, of_system, of_units
from labctl.lab.verify import HostExpectation, file_content, verify

pytestmark = pytest.mark.root

#: One file's harms in full; the others' are drawn by the property test.
HARMS = [harm for harm in of_files() if harm.target == "/etc/vfy/site.conf"] + of_folders() + of_system() + of_units()
MANIFEST = "/var/lib/labctl/manifest.d/vfy.json"
#: Waits until the little web server is up again.
ANSWERS = "until ss -ltn | grep -q :8123; do sleep 0.05; done"
KEEP, BACK = f"cp -p {MANIFEST} /root/kept.json", f"cp -p /root/kept.json {MANIFEST}"


def test_a_host_as_it_was_left_is_clean_with_and_without_what_was_kept(converged: Verified) -> None:
    first = converged.look(cold=True)
    assert first.clean, first
    assert first.skipped == ("costly",), "what was not looked at is told"
    converged.sealed()
    again = converged.look()
    assert again.clean
    assert again.manifests == first.manifests
    assert set(first.manifests) == {"vfy", "vfz"}


def test_looking_changes_nothing_on_the_host(converged: Verified) -> None:
    state = "find /etc /var/lib /run/systemd/system /opt /root -xdev -newer /root/then -not -path '*/journal/*'"
    converged.ssh("touch /root/then; sleep 0.01")
    assert converged.look(cold=True).clean
    assert converged.ssh(state) == ""


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.name)
def test_harm_is_named_and_nothing_else(converged: Verified, harm: Harm) -> None:
    converged.ssh(harm.do)
    try:
        assert converged.items() == harm.items
    finally:
        converged.ssh(harm.undo)
    assert converged.items() == set()


@pytest.mark.parametrize("seed", range(5))
def test_no_random_harm_to_a_host_at_rest_is_missed(converged: Verified, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    harms: dict[str, Harm] = {}
    for harm in draw.sample(every_harm(), 60):
        # A link in place of the folder would hide what is done in it.
        if harm.name != "/etc/vfy: a link":
            harms.setdefault(harm.target, harm)
    assert len(harms) >= 8
    converged.sealed()
    converged.ssh("; ".join(f"({harm.do})" for harm in harms.values()))
    try:
        told = converged.items()
        missed = [harm.name for harm in harms.values() if not harm.items & told]
        assert not missed, f"seed {seed}"
    finally:
        converged.ssh("; ".join(f"({harm.undo})" for harm in reversed(harms.values())))
    assert converged.items() == set(), f"seed {seed}"


#: What a run refuses to mend, and says so: names are the provider's, and lines beside our blocks the host's own; what
#: stands where a file or folder should be may be somebody's, or lead to it; a process that is stopped runs on what is
#: configured.
REFUSED = ("name of a host", "with a further address", ": a link", ": a folder", ": a pipe", "process stopped")


def test_whatever_was_done_to_a_host_is_repaired_by_the_next_run(converged: Verified) -> None:
    """Every harm once, as many at a time as there are things to harm."""
    todo: dict[str, list[Harm]] = {}
    for harm in every_harm():
        if not harm.name.endswith(REFUSED):
            todo.setdefault(harm.target, []).append(harm)
    while todo:
        harms = [waiting.pop() for waiting in todo.values()]
        todo = {target: waiting for target, waiting in todo.items() if waiting}
        # An administrator's drop-in stays: the run restarts the unit on it.
        stays = [harm for harm in harms if harm.name.startswith("drop-in")]
        converged.ssh("; ".join(f"({harm.do})" for harm in harms))
        try:
            told = converged.items()
            assert not [harm.name for harm in harms if not harm.items & told]
            converged.converge()
            assert converged.items() == set(), [harm.name for harm in harms]
        except AssertionError:
            converged.ssh("; ".join(f"({harm.undo})" for harm in reversed(harms)))
            raise
        if stays:
            converged.ssh("; ".join(f"({harm.undo})" for harm in stays))
            assert converged.items() == stays[0].items
            converged.converge()
    assert not any(converged.converge().changed.values())


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (f"rm {MANIFEST}", "on the host"),
        (f"truncate -s 100 {MANIFEST}", "cannot be used"),
        (f": > {MANIFEST}", "cannot be used"),
        (f'sed -i \'s/"version":1/"version":2/\' {MANIFEST}', "cannot be used"),
        (f'sed -i \'s/"role":"vfy"/"role":"vfz"/\' {MANIFEST}', "cannot be used"),
        (f"chmod 0644 {MANIFEST}", "mode"),
        (f'sed -i \'s/"checks":/"futures":/\' {MANIFEST}', "kind futures is not known: made by a newer labctl"),
        (f"rm {MANIFEST}; ln -s /root/kept.json {MANIFEST}", "cannot be used"),
    ],
)
def test_a_manifest_that_is_not_ours_any_more_is_named(converged: Verified, harm: str, what: str) -> None:
    converged.ssh(f"{KEEP}; {harm}")
    try:
        report = converged.look()
        assert not report.clean
        told = [drift.what for drift in report.drift if drift.role == "vfy" and drift.kind == "manifest"]
        assert what in told
        if "version" in harm:
            assert any("newer labctl" in drift.found for drift in report.drift)
    finally:
        converged.ssh(f"rm -f {MANIFEST}; {BACK}")
    assert converged.items() == set()


def test_a_manifest_edited_together_with_its_file_is_named(converged: Verified) -> None:
    forge = (
        'python3 -c \'import hashlib,sys; p=sys.argv[1]; m=open(p).read(); f="/etc/vfy/site.conf";'
        ' old=hashlib.sha256(open(f,"rb").read()).hexdigest(); open(f,"a").write("#");'
        ' new=hashlib.sha256(open(f,"rb").read()).hexdigest(); open(p,"w").write(m.replace(old,new))\' '
    )
    converged.ssh(f"{KEEP}; cp -p /etc/vfy/site.conf /root/kept.conf; {forge}{MANIFEST}")
    try:
        assert "manifest vfy" in converged.items()
    finally:
        converged.ssh(f"{BACK}; cp -p /root/kept.conf /etc/vfy/site.conf")
    assert converged.items() == set()


def test_an_empty_host_of_the_same_name_is_stale_for_every_role(converged: Verified) -> None:
    converged.ssh("mv /var/lib/labctl /root/labctl")
    try:
        report = converged.look(roles=frozenset({"never_ran"}))
        missing = {drift.role for drift in report.drift if drift.what == "on the host"}
        assert missing == {"vfy", "vfz", "never_ran"}
    finally:
        converged.ssh("rmdir /var/lib/labctl 2>/dev/null; mv /root/labctl /var/lib/labctl")


def test_a_lab_folder_that_lost_its_digests_trusts_nothing(converged: Verified) -> None:
    folder = converged.host.lab_dir / "manifests" / "box"
    kept = (folder / "vfy.sha256").read_text()
    (folder / "vfy.sha256").unlink()
    try:
        assert str(converged.look().drift[0]).startswith("manifest vfy: not known to this lab")
    finally:
        (folder / "vfy.sha256").write_text(kept)


def test_a_binary_replaced_in_a_sent_tree_is_named(converged: Verified) -> None:
    """The tree and its records are laid out as artifact does; see tests/integration/artifact for artifact itself."""
    make = Path(__file__).with_name("make_tree.py").read_text()
    sha256 = converged.ssh(f"python3 - <<'END'\n{make}\nEND").strip()
    digest = converged.host.lab_dir / "manifests" / "box" / "vft.sha256"
    digest.write_text(sha256)
    tree = "tree /opt/labctl/tiny-1"
    try:
        assert converged.items() == set()
        for do, undo, told in (
            (
                "printf X | dd of=$t/bin/tool conv=notrunc status=none",
                "printf b | dd of=$t/bin/tool conv=notrunc",
                tree,
            ),
            ("chmod 0755 $t/bin/tool", "chmod 0555 $t/bin/tool", tree),
            ("chmod 0444 $t/bin/tool", "chmod 0555 $t/bin/tool", tree),
            ("chown nobody $t/bin/tool", "chown root $t/bin/tool", f"{tree}/bin/tool"),
            ("chmod 0777 $t/bin", "chmod 0755 $t/bin", f"{tree}/bin/"),
            ("echo > $t/bin/stray", "rm $t/bin/stray", tree),
            ("mkdir $t/more", "rmdir $t/more", f"{tree}/more/"),
            ("ln -sfn /root /opt/tiny", "ln -sfn $t /opt/tiny", "link /opt/tiny"),
            ("mv $t /root/tree", "mv /root/tree $t", tree),
        ):
            converged.ssh(f"t=/opt/labctl/tiny-1; {do}")
            assert told in converged.items(), do
            converged.ssh(f"t=/opt/labctl/tiny-1; {undo}")
            assert converged.items() == set(), undo
    finally:
        converged.ssh("rm -r /opt/labctl /opt/tiny /var/lib/labctl/manifest.d/vft.json")
        digest.unlink()


def test_content_is_handed_out_of_managed_files_but_never_of_secret_ones(converged: Verified) -> None:
    lab_dir = converged.host.lab_dir

    def content(*paths: str) -> dict[str, bytes]:
        return file_content(lab_dir, lab_dir / "ssh/config", "box", list(paths))

    both = ("/etc/vfy/site.conf", "/etc/vfy/password", "/etc/shadow")
    assert content(*both) == {"/etc/vfy/site.conf": b"port = 8123\n"}
    converged.ssh("cp -p /etc/vfy/site.conf /root/c; ln -sf /etc/shadow /etc/vfy/site.conf")
    assert content(*both) == {}
    converged.ssh("cp -p --remove-destination /root/c /etc/vfy/site.conf")
    converged.ssh(f"{KEEP}; sed -i 's/,\"secret\":true//; s/hmac_sha256/sha256/' {MANIFEST}")
    try:
        assert content(*both) == {}, "the host itself says that it is no secret"
    finally:
        converged.ssh(BACK)


def test_no_secret_is_in_a_report_or_in_what_is_kept(converged: Verified) -> None:
    converged.ssh("cp -p /etc/vfy/password /root/p; printf canarybird > /etc/vfy/password")
    try:
        report = converged.look()
        assert [drift.item for drift in report.drift] == ["/etc/vfy/password"]
        everything = repr(report) + converged.memory.read_text()
        assert "opensesame" not in everything
        assert "canarybird" not in everything
        assert converged.memory.stat().st_mode & 0o777 == 0o600
    finally:
        converged.ssh("cp -p /root/p /etc/vfy/password")


def test_hosts_that_do_not_answer_are_told_and_hold_nobody_up(converged: Verified) -> None:
    lab_dir = converged.host.lab_dir
    config = lab_dir.parent / "config"
    closed = "Host gone\n  HostName 127.0.0.1\n  Port 1\nHost mute\n  ProxyCommand sleep 60\n"
    config.write_text(closed + (lab_dir / "ssh/config").read_text())
    names = ("gone", "box", "mute")
    reports = verify(lab_dir, config, {name: HostExpectation() for name in names}, timeout=3)
    assert list(reports) == list(names)
    assert reports["box"].clean
    assert not reports["gone"].reachable
    assert "refused" in reports["gone"].error
    assert not reports["mute"].reachable
    assert not reports["mute"].clean
    assert reports["mute"].seconds < 10


@pytest.mark.parametrize("kept", [b"\1\2\r\nof another Python", b"no program", b"\0\0\0\0"])
def test_what_was_kept_of_a_host_is_not_needed(converged: Verified, kept: bytes) -> None:
    memory = json.loads(converged.memory.read_text())
    code = base64.b64encode(zlib.compress(kept)).decode()
    converged.memory.write_text(json.dumps({**memory, "code": code}))
    assert converged.items() == set()
    assert json.loads(converged.memory.read_text())["code"] not in ("", code)
    converged.memory.write_text("{")
    assert converged.items() == set()


def test_a_chatty_login_is_no_trouble(converged: Verified) -> None:
    converged.ssh("cp -p /root/.bashrc /root/.b 2>/dev/null; echo 'echo labctl; echo hello' > /root/.bashrc")
    try:
        assert converged.items() == set()
    finally:
        converged.ssh("rm /root/.bashrc; mv /root/.b /root/.bashrc 2>/dev/null || true")


def test_a_host_whose_python_is_broken_is_not_clean(converged: Verified) -> None:
    converged.ssh("mv /usr/bin/python3 /usr/bin/python3.kept")
    try:
        report = converged.look()
        assert (report.reachable, report.clean, report.error) == (True, False, "has no python3")
    finally:
        converged.ssh("mv /usr/bin/python3.kept /usr/bin/python3")


def test_units_that_do_not_run_or_run_against_orders_are_named_and_repaired(converged: Verified) -> None:
    for harm, unit in (
        ("systemctl stop vfy-web", "vfy-web.service"),
        ("systemctl start vfy-web; systemctl kill --signal=KILL vfy-web; sleep 0.2", "vfy-web.service"),
        ("systemctl start vfy-off", "vfy-off.service"),
    ):
        converged.ssh(harm)
        assert f"unit {unit}" in converged.items(), harm
    assert converged.converge()["unit"]["started"] == ["vfy-web.service"]
    assert converged.items() == set()


def test_a_unit_started_by_another_on_what_is_there_is_seen_and_left_running(converged: Verified) -> None:
    """By a person, by systemd after a crash, by a reboot."""
    converged.ssh(f"systemctl restart vfy-web; {ANSWERS}")
    assert converged.items() == {"unit vfy-web.service"}
    assert not converged.converge()["unit"]["restarted"]
    assert converged.items() == set()


def test_a_unit_started_on_an_edit_that_was_taken_back_is_restarted(converged: Verified) -> None:
    edit = "cp -p site.conf /root/s; echo >> site.conf; systemctl restart vfy-web"
    converged.ssh(f"cd /etc/vfy; {edit}; cat /root/s > site.conf; touch -r /root/s site.conf; {ANSWERS}")
    assert converged.items() == {"unit vfy-web.service"}
    assert converged.converge()["unit"]["restarted"] == ["vfy-web.service"]
    assert converged.items() == set()


def test_a_unit_restarted_on_an_edited_file_is_restarted_when_the_file_is_repaired(converged: Verified) -> None:
    converged.ssh(f"echo '# x' >> /etc/vfy/site.conf; systemctl restart vfy-web; {ANSWERS}")
    assert converged.items() == {"file /etc/vfy/site.conf", "unit vfy-web.service"}
    predicted = converged.host.run_playbook(TASKS, "--check")
    done = converged.converge()
    assert done["unit"]["restarted"] == ["vfy-web.service"]
    assert predicted["unit"]["changes"] == done["unit"]["changes"]
    assert converged.items() == set()


def test_a_unit_is_stale_when_a_run_died_between_its_files_and_its_restart(converged: Verified) -> None:
    config = TASKS[TASKS.index("- name: config") : TASKS.index("- name: unit")]
    assert converged.host.run_playbook(config, "-e", "port=8124").rc == 0
    assert converged.items() == {"unit vfy-web.service", "unit vfy-job.service"}
    assert converged.converge().rc == 0
    assert converged.items() == set()


def test_three_runs_leave_units_running_and_manifests_as_they_are(converged: Verified) -> None:
    before = converged.look()
    for _ in range(2):
        assert not any(converged.converge().changed.values())
    assert converged.look().manifests == before.manifests
    assert converged.look().clean
