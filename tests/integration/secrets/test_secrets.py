# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets and certificates on a real host, used as a role of a later stack would.

The tests are one story on one lab, told in their order: checked, made, kept, found by another way in, renewed, rotated.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.lab import load_lab
from ansible_collections.labctl.stacks.plugins.module_utils.providers import provider_for
from integration.one_host import REPOSITORY, OneHost, Run

pytestmark = pytest.mark.root
ROLE = Path(__file__).parent / "lbt_web"
TLS = "/etc/lbt-web/tls"


@dataclass
class WebLab:
    """The lab, its host, and its web server as a client on the controller sees it."""

    host: OneHost
    address: str

    @property
    def secrets(self) -> Path:
        return self.host.lab_dir / "secrets"

    def files(self) -> dict[str, bytes]:
        """Everything in the folder of secrets."""
        if not self.secrets.exists():
            return {}
        return {
            str(path.relative_to(self.secrets)): path.read_bytes() for path in self.secrets.rglob("*") if path.is_file()
        }

    def run(self, *args: str, **variables: object) -> Run:
        """Apply the role by the inventory plugin and ansible-runner, as labctl does."""
        given = self.host.scratch / "variables.json"
        given.write_text(json.dumps(variables))
        tasks = f"- name: role\n  ansible.builtin.import_role: {{name: {ROLE}}}\n"
        return self.host.run_playbook(tasks, f"-e @{given}", *args)

    def handshake(self, name: str, authorities: bytes) -> str:
        """Reach the server by its address under this name, trusting only these; "" or what was wrong."""
        context = ssl.create_default_context(cadata=authorities.decode())
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        try:
            with socket.create_connection((self.address, 8443), timeout=10) as plain:
                context.wrap_socket(plain, server_hostname=name).close()
        except ssl.SSLCertVerificationError as exc:
            return exc.verify_message
        return ""

    def started(self) -> str:
        return self.host.ssh("systemctl show -P ExecMainStartTimestampMonotonic lbt-web.service")


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebLab]:
    """A lab of one host. Removed at the end."""
    if os.geteuid() != 0:
        pytest.skip("makes an nspawn host, which needs root")
    with tempfile.TemporaryDirectory(prefix="labctl-secrets-") as name:
        spec = Path(name) / "lab.yml"
        spec.write_text("name: secrets-test\nprovider: nspawn\nhosts:\n  box: {}\nstacks: []\n")
        inventory = Path(name) / "nspawn.yml"
        inventory.write_text("plugin: labctl.stacks.nspawn\nlab: lab.yml\n")
        lab = load_lab(spec)
        provider = provider_for(lab)
        try:
            provider.preflight()
            (box,) = provider.apply()
            yield WebLab(OneHost("box", inventory, lab.lab_dir, tmp_path_factory.mktemp("plays")), box.address)
        finally:
            provider.destroy()


ISSUED = "Pki | Issue a certificate for this host"
BROUGHT = "Pki | Bring it with its key and the authorities to trust"


def changes(run: Run) -> list[str]:
    """Names of the tasks that changed something, in order."""
    return [task for task, changed in run.changed.items() if changed]


def test_check_mode_makes_nothing_and_announces_what_the_run_then_does(web: WebLab) -> None:
    checked = web.run("--check")
    assert checked.rc == 0, checked.stdout
    assert not web.secrets.exists()
    assert web.host.ssh("ls -d /etc/lbt-web 2>/dev/null", check=False) == ""
    made = web.run()
    assert made.rc == 0, made.stdout
    assert changes(made) == changes(checked)
    assert made["Secrets | Make those that the lab lacks"]["made"] == ["lbt_web_password", "lbt_web_other"]
    assert sorted(web.files()) == [
        "lbt_web_other",
        "lbt_web_password",
        "pki/box/lbt_web.crt",
        "pki/box/lbt_web.key",
        "pki/ca-1.crt",
        "pki/ca-1.key",
    ]
    assert len(web.files()["lbt_web_password"].strip()) == 32
    assert {path.stat().st_mode & 0o077 for path in web.secrets.rglob("*") if path.suffix != ".crt"} == {0}
    assert web.secrets.stat().st_mode & 0o777 == 0o700


def test_the_host_has_its_own_and_nothing_more(web: WebLab) -> None:
    state = web.host.ssh(f"cd {TLS} && stat -c '%n %U:%G %a' . * /etc/lbt-web/password")
    assert state.splitlines() == [
        ". root:lbt-web 750",
        "ca.crt root:root 644",
        "lbt_web.crt root:root 644",
        "lbt_web.key root:lbt-web 640",
        "/etc/lbt-web/password root:lbt-web 640",
    ]
    files = web.files()
    assert web.host.ssh("cat /etc/lbt-web/password").encode() == files["lbt_web_password"].strip()
    assert web.host.ssh(f"cat {TLS}/lbt_web.key").encode() == files["pki/box/lbt_web.key"]
    words = {"lbt_web_other": files["lbt_web_other"].strip().decode()}
    for key in ("pki/box/lbt_web.key", "pki/ca-1.key"):
        # Of the three lines of base64, the first begins the same in all keys of this kind.
        words[key] = files[key].decode().splitlines()[2]
    patterns = "".join(f"{word}\n" for word in words.values())
    found = subprocess.run(
        ["ssh", "-F", str(web.host.lab_dir / "ssh/config"), "box", "grep -rlaF -f - / --exclude-dir={proc,sys,share}"],
        input=patterns,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert found.stdout.splitlines() == [f"{TLS}/lbt_web.key"], "the search finds the host's key, and the host's alone"


def test_a_client_that_trusts_the_lab_reaches_the_server_by_name_and_address(web: WebLab) -> None:
    authority = web.files()["pki/ca-1.crt"]
    assert [web.handshake(name, authority) for name in ("box", "www.lbt.example", web.address)] == ["", "", ""]
    assert "not valid for" in web.handshake("another", authority)
    web.host.ssh(f"openssl verify -x509_strict -purpose sslclient -CAfile {TLS}/ca.crt {TLS}/lbt_web.crt")


def shown(text: str, secrets: dict[str, bytes]) -> list[str]:
    """The secrets that show, plainly or inside base64 wherever they begin in it."""
    found = []
    for name, value in secrets.items():
        word = value.strip().splitlines()[-2 if name.endswith(".key") else -1]
        inner = [base64.b64encode(b"\0" * shift + word)[4:-4] for shift in range(3)]
        found += [name for code in (word, *inner) if code.decode() in text]
    return found


def test_no_secret_shows_at_vvvv_in_records_or_in_the_journal_and_nothing_changes(web: WebLab) -> None:
    before, started = web.files(), web.started()
    hidden = {name: value for name, value in before.items() if not name.endswith(".crt")}
    assert shown(base64.b64encode(b"x" + before["lbt_web_password"] + b"xx").decode(), hidden) == ["lbt_web_password"]
    # The host forgets its files, so that they travel again.
    web.host.ssh(f"rm -r {TLS} /etc/lbt-web/password")
    again = web.run("-vvvv", "--diff")
    assert again.rc == 0, again.stdout
    assert changes(again) == [BROUGHT, "Configure it"]
    assert len(again.everything()) > 20000
    assert shown(again.everything(), hidden) == []
    journal = web.host.ssh("journalctl --no-pager --output=verbose")
    assert "ansible-labctl.stacks.config_tree" in journal, "modules do log to the journal here"
    assert shown(journal, hidden) == []
    assert web.files() == before, "a host that is made again gets the same"
    assert web.started() == started


def test_plain_ansible_with_an_inventory_of_its_own_finds_the_same(web: WebLab) -> None:
    before, started = web.files(), web.started()
    beside = web.host.lab_dir.parent
    (beside / "hosts.ini").write_text(
        f"box ansible_host={web.address} ansible_ssh_args='-F {web.host.lab_dir}/ssh/config' ansible_user=root\n"
    )
    (beside / "play.yml").write_text(f"- hosts: all\n  gather_facts: false\n  roles: [{ROLE}]\n")
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".dev"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.ini", "play.yml"],
        cwd=beside,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=0" in done.stdout
    assert web.files() == before
    assert web.started() == started


def test_renewed_before_it_ends_and_when_its_names_change(web: WebLab) -> None:
    before, started = web.files(), web.started()
    renewed = web.run(common_pki_renew_days=364, lbt_web_names=["box2.lbt.example"], common_pki_valid_days=400)
    assert renewed.rc == 0, renewed.stdout
    after = web.files()
    assert {name for name in after if after[name] != before[name]} == {"pki/box/lbt_web.crt"}
    assert "its names were" in renewed[ISSUED]["reason"]
    assert web.started() != started, "the server runs on the new certificate"
    assert web.handshake("box2.lbt.example", after["pki/ca-1.crt"]) == ""
    due = web.run("--check", common_pki_renew_days=401, lbt_web_names=["box2.lbt.example"], common_pki_valid_days=402)
    assert "it ended on" in due[ISSUED]["reason"]
    assert "Run it" in changes(due), "a check announces the restart too"
    assert web.files() == after


def test_rotation_reaches_the_host_step_by_step(web: WebLab) -> None:
    old = web.files()["pki/ca-1.crt"]
    trust = []
    # The last step, [2], only takes the old one out of the bundle.
    for authorities in ([1, 2], [2, 1]):
        run = web.run(common_pki_authorities=authorities, lbt_web_names=["box2.lbt.example"])
        assert run.rc == 0, run.stdout
        new = web.files()["pki/ca-2.crt"]
        trust.append((web.handshake("box", old), web.handshake("box", new)))
        bundle = web.host.ssh(f"cat {TLS}/ca.crt").encode()
        assert bundle == b"".join({1: old, 2: new}[number] for number in authorities)
    unknown = "unable to get local issuer certificate"
    assert trust == [("", unknown), (unknown, "")]


def test_a_secret_that_nobody_made_is_an_error_that_says_so(web: WebLab) -> None:
    task = "- name: it\n  ansible.builtin.debug: {msg: \"{{ lookup('labctl.stacks.secret', 'lbt_none') }}\"}\n"
    run = web.host.run_playbook(task)
    assert run.failed == ["it"]
    assert "the lab has no secret lbt_none" in run["it"]["msg"]
    assert "lbt_none" not in web.files()


def test_removing_the_role_takes_all_of_it_from_the_host(web: WebLab) -> None:
    before = web.files()
    names = ("unit", "config_tree", "ready", "system")
    gone = web.host.run_playbook(
        "".join(f"- name: {name}\n  labctl.stacks.{name}: {{role: lbt_web, state: absent}}\n" for name in names)
    )
    assert gone.rc == 0, gone.stdout
    assert web.host.ssh("ls -d /etc/lbt-web /var/lib/labctl/manifest.d/lbt_web.json 2>/dev/null", check=False) == ""
    assert web.files() == before, "the lab keeps its secrets until it goes"
