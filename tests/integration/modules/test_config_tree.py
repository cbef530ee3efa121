# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""config_tree on a real host: run, again, check, diff, drift, trouble, remove; and that no body shows anywhere."""

from __future__ import annotations

import base64
import hashlib

import pytest
from integration.one_host import OneHost

pytestmark = pytest.mark.root

LIFE = r"""
- name: before labctl
  ansible.builtin.shell: |
    mkdir -p /etc/lbt-old; printf 'the old one\n' > /etc/lbt-old/was-here.conf; chmod 0640 /etc/lbt-old/was-here.conf
- name: predicted
  check_mode: true
  labctl.stacks.config_tree: &declared
    role: lbt
    directories: [{path: /etc/lbt, group: adm, mode: "0750"}]
    files:
      - {path: /etc/lbt/main.sh, content: "echo one\n", mode: "0755", validate: bash -n %s}
      - {path: /etc/lbt/secret, content: "a password\n", mode: "0600", secret: true}
      - {path: /etc/lbt/empty, content: ""}
      - {path: /opt/lbt/deep/braces, content: "{{ '{{ not a template }}' }}\n"}
      - {path: /etc/lbt-old/was-here.conf, content: "the new one\n"}
- name: first
  diff: true
  labctl.stacks.config_tree: *declared
- name: manifest after first
  ansible.builtin.slurp: {path: /var/lib/labctl/manifest.d/lbt.json}
- name: second
  labctl.stacks.config_tree: *declared
- name: manifest after second
  ansible.builtin.slurp: {path: /var/lib/labctl/manifest.d/lbt.json}
- name: drift
  ansible.builtin.shell: |
    cd /etc/lbt
    echo evil >> main.sh; chmod 0666 secret; rm empty; ln -s /etc/passwd empty
    echo x > stray; ln -s /etc/hosts straylink
    rm /opt/lbt/deep/braces; chown games /etc/lbt-old/was-here.conf; chmod 0777 /etc/lbt
- name: drift predicted
  check_mode: true
  labctl.stacks.config_tree: *declared
- name: repaired
  labctl.stacks.config_tree: *declared
- name: quiet
  labctl.stacks.config_tree: *declared
- name: state
  ansible.builtin.shell: |
    cd /etc/lbt; stat -c '%n %U:%G %a %F' . * /etc/lbt-old/was-here.conf
    cat main.sh /opt/lbt/deep/braces /etc/lbt-old/was-here.conf
    head -1 /etc/passwd; ls /var/lib/labctl/backup/stray | sed 's/^[0-9a-f]*-//' | sort
- name: fewer
  labctl.stacks.config_tree:
    role: lbt
    directories: [{path: /etc/lbt, group: adm, mode: "0750"}]
    files: [{path: /etc/lbt/main.sh, content: "echo one\n", mode: "0755"}]
- name: state of fewer
  ansible.builtin.shell: |
    ls /etc/lbt; test ! -e /opt/lbt && stat -c '%U %a' /etc/lbt-old/was-here.conf && cat /etc/lbt-old/was-here.conf
"""


def test_life(host: OneHost) -> None:
    run = host.run_playbook(LIFE)
    assert run.rc == 0, run.stdout
    assert run["predicted"]["changes"] == run["first"]["changes"]
    assert run["predicted"]["files_changed"] == run["first"]["files_changed"]
    assert run["first"]["changed"]
    assert not run["second"]["changed"]
    assert run["manifest after first"]["content"] == run["manifest after second"]["content"]
    assert run["first"]["digest"] == run["second"]["digest"] == run["drift predicted"]["digest"]
    content = base64.b64decode(run["manifest after second"]["content"])
    assert run["second"]["manifest"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert b"a password" not in content
    assert hashlib.sha256(b"a password\n").hexdigest().encode() not in content

    diffs = {one["before_header"]: one for one in run["first"]["diff"]}
    assert diffs["/etc/lbt/main.sh"]["after"] == "echo one\n"
    assert diffs["/etc/lbt/secret"] == {
        "before_header": "/etc/lbt/secret",
        "after_header": "/etc/lbt/secret",
        "before": "",
        "after": "content differs (secret)\n",
    }
    assert "the old one" not in diffs["/etc/lbt-old/was-here.conf"]["before"], "it was private to its owner"
    assert "diff" not in run["repaired"]

    assert run["drift predicted"]["changes"] == run["repaired"]["changes"]
    assert run["repaired"]["removed"] == ["/etc/lbt/stray", "/etc/lbt/straylink"]
    assert sorted(run["repaired"]["files_changed"]) == [
        "/etc/lbt-old/was-here.conf",
        "/etc/lbt/empty",
        "/etc/lbt/main.sh",
        "/etc/lbt/secret",
        "/opt/lbt/deep/braces",
    ]
    assert not run["quiet"]["changed"]
    assert run["state"]["stdout"].splitlines() == [
        ". root:adm 750 directory",
        "empty root:root 644 regular empty file",
        "main.sh root:root 755 regular file",
        "secret root:root 600 regular file",
        "/etc/lbt-old/was-here.conf root:root 644 regular file",
        "echo one",
        "{{ not a template }}",
        "the new one",
        "root:x:0:0:root:/root:/bin/bash",
        "stray",
        "straylink",
    ]
    assert run["state of fewer"]["stdout"].splitlines() == ["main.sh", "root 640", "the old one"]
    (kept,) = (host.lab_dir / "manifests" / host.name).glob("lbt.*")
    assert kept.read_text().strip() == run["fewer"]["manifest"]["sha256"], "the controller remembers what it left"
    assert kept.stat().st_mode & 0o777 == 0o600


TROUBLE = r"""
- name: dictionary
  ignore_errors: true
  labctl.stacks.config_tree:
    role: lbt
    files: [{path: /etc/lbt/main.sh, content: "other\n"}, {path: /etc/lbt/dict.json, content: {a: 1}}]
- name: nothing
  ignore_errors: true
  labctl.stacks.config_tree: {role: lbt, files: [{path: /etc/lbt/none, content: }]}
- name: missing
  ignore_errors: true
  labctl.stacks.config_tree: {role: lbt, files: [{path: /etc/lbt/missing}]}
- name: refused
  ignore_errors: true
  labctl.stacks.config_tree:
    role: lbt
    files:
      - {path: /etc/lbt/main.sh, content: "other\n"}
      - {path: /etc/lbt/broken.sh, content: "if then\n", validate: bash -n %s}
- name: refused secret
  ignore_errors: true
  labctl.stacks.config_tree:
    role: lbt
    files: [{path: /etc/lbt/broken.sh, content: "if canary-in-checker then\n", secret: true, validate: bash -n %s}]
- name: mode
  ignore_errors: true
  labctl.stacks.config_tree: {role: lbt, files: [{path: /etc/lbt/mode, content: x, mode: 0755}]}
- name: owner
  ignore_errors: true
  labctl.stacks.config_tree:
    role: lbt
    files: [{path: /etc/lbt/main.sh, content: x}, {path: /etc/lbt/o, content: x, owner: nobody-knows}]
- name: planted
  ansible.builtin.shell: |
    mkdir -p /srv/lbt; chown games /srv/lbt; setpriv --reuid games --clear-groups ln -s /etc /srv/lbt/link
- name: through a planted link
  ignore_errors: true
  labctl.stacks.config_tree: {role: lbt, files: [{path: /srv/lbt/link/lbt-planted, content: x}]}
- name: unharmed
  ansible.builtin.shell: ls -A /etc/lbt; cat /etc/lbt/main.sh; ls /etc/lbt-planted || true
- name: another role
  labctl.stacks.config_tree: {role: lbt2, files: [{path: /etc/lbt/main.sh, content: "echo one\n", mode: "0755"}]}
- name: removed
  labctl.stacks.config_tree: {role: lbt, state: absent}
- name: still there
  ansible.builtin.shell: cat /etc/lbt/main.sh
- name: all removed
  labctl.stacks.config_tree: {role: lbt2, state: absent}
- name: removed again
  labctl.stacks.config_tree: {role: lbt2, state: absent}
"""


def test_trouble_touches_nothing_and_removing_leaves_nothing(host: OneHost) -> None:
    host.run_playbook("- name: base\n" + LIFE.split("- name: fewer\n")[1].split("- name:")[0])
    run = host.run_playbook(TROUBLE)
    assert run.rc == 0, run.stdout
    assert run.failed == [
        "dictionary",
        "nothing",
        "missing",
        "refused",
        "refused secret",
        "mode",
        "owner",
        "through a planted link",
    ]
    for task, words in {
        "dictionary": "/etc/lbt/dict.json: content is a dictionary, not a string",
        "nothing": "/etc/lbt/none: content is empty (null), not a string",
        "missing": "/etc/lbt/missing: content is missing",
        "refused": "/etc/lbt/broken.sh: validation by 'bash' failed, nothing was written",
        "refused secret": "its output is withheld",
        "mode": "/etc/lbt/mode: mode '493' is not octal",
        "owner": "/etc/lbt/o: this host has no user 'nobody-knows'",
        "through a planted link": "'link' is a link of user 'games', not followed",
    }.items():
        assert words in run[task]["msg"], run[task]["msg"]
    assert "canary-in-checker" not in run["refused secret"]["msg"]
    assert run["unharmed"]["stdout"].splitlines() == ["main.sh", "echo one"]
    assert not run["removed"]["changed"], "another role declares all of it"
    assert run["still there"]["stdout"] == "echo one"
    assert run["all removed"]["changed"]
    assert run["all removed"]["manifest"] == {"role": "lbt2", "sha256": ""}
    assert not run["removed again"]["changed"]
    assert host.ssh("ls -d /etc/lbt /var/lib/labctl/manifest* 2>/dev/null", check=False) == ""
    assert not list((host.lab_dir / "manifests").rglob("lbt*")), "the lab folder forgets it too"
    host.ssh("rm -rf /etc/lbt-old /srv/lbt /var/lib/labctl/backup")


CANARIES = ("Canary-Of-A-Secret-7391", "Canary-Of-A-File-Body-2046", "Canary-Of-A-Unit-Text-5518")
HIDDEN = """
- name: files
  labctl.stacks.config_tree:
    role: lbt
    files:
      - {path: /etc/lbt/secret, content: "{{ secret }}", secret: true, mode: "0600"}
      - {path: /etc/lbt/body, content: "{{ body }}"}
- name: a diff
  diff: true
  labctl.stacks.config_tree:
    role: lbt
    files:
      - {path: /etc/lbt/secret, content: "{{ secret }} more", secret: true, mode: "0600"}
      - {path: /etc/lbt/body, content: "{{ body }}"}
- name: refused
  ignore_errors: true
  labctl.stacks.config_tree:
    role: lbt
    files:
      - {path: /etc/lbt/secret, content: "{{ secret }} again", secret: true, validate: cat %s -}
      - {path: /etc/lbt/body, content: "{{ body }} again", validate: "false %s"}
- name: units
  labctl.stacks.unit:
    role: lbt
    units: [{name: lbt-canary.service, enabled: false, state: stopped, content: "{{ text }}"}]
"""


def shown(text: str) -> list[str]:
    """The canaries that show in plain text, or inside base64 wherever they begin in it."""
    found = []
    for word in CANARIES:
        inner = [base64.b64encode(b"\0" * shift + word.encode()).decode()[4:-4] for shift in range(3)]
        found += [word for code in (word, *inner) if code in text]
    return found


def test_no_body_shows_in_results_at_vvvv_in_runner_records_or_in_the_hosts_journal(host: OneHost) -> None:
    secret, body, text = CANARIES
    assert shown(base64.b64encode(f"some {secret}".encode()).decode()) == [secret], "the test sees what it looks for"
    variables = host.scratch / "canaries.yml"
    variables.write_text(f"secret: {secret}\nbody: 'echo {body}'\ntext: '[Unit]\n\n  Description={text}'\n")
    run = host.run_playbook(HIDDEN, "-vvvv", f"-e @{variables}")
    assert run.rc == 0, run.stdout
    assert run.failed == ["refused"]
    assert run["a diff"]["diff"][0]["after"] == "content differs (secret)\n"
    assert len(run.everything()) > 20000
    assert shown(run.everything()) == []
    journal = host.ssh("journalctl --no-pager --output=verbose --since=-10min")
    assert "ansible-labctl.stacks.config_tree" in journal, "modules do log to the journal here"
    assert shown(journal) == []
    assert secret in host.ssh("cat /etc/lbt/secret")
    done = host.run_playbook(
        "- name: config\n  labctl.stacks.config_tree: {role: lbt, state: absent}\n"
        "- name: unit\n  labctl.stacks.unit: {role: lbt, state: absent}\n"
    )
    assert done.rc == 0
