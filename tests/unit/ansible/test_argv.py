# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exact words and settings Ansible is started with."""

from __future__ import annotations

from pathlib import Path

from labctl.ansible.argv import environment, playbook_argv


def test_argv() -> None:
    inventory = Path("/labs/a b/nspawn.yml")
    plain = ["/venv/bin/ansible-playbook", "--inventory", "/labs/a b/nspawn.yml", "labctl.stacks.hadoop"]
    assert playbook_argv(plain[0], plain[-1], inventory) == plain
    assert playbook_argv(
        plain[0], plain[-1], inventory, check=True, diff=True, verbosity=9, setpriv="/bin/setpriv"
    ) == [
        "/bin/setpriv",
        "--pdeathsig",
        "INT",
        *plain[:3],
        "--check",
        "--diff",
        "-vvvv",
        "labctl.stacks.hadoop",
    ]


def env(base: dict[str, str], hosts: int = 3) -> dict[str, str]:
    return environment(
        base, scripts=Path("/venv/bin"), collections=Path("/src/.dev"), private=Path("/run/x"), hosts=hosts, run_id="r1"
    )


def test_environment() -> None:
    assert env({"PATH": "/bin", "HOME": "/home/u", "LANG": "de_DE"}) == {
        "PATH": "/venv/bin:/bin",
        "HOME": "/home/u",
        "LANG": "de_DE",
        "LABCTL_RUN": "r1",
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": "/run/x/ansible.cfg",
        "ANSIBLE_HOME": "/run/x/home",
        "ANSIBLE_LOCAL_TEMP": "/run/x/tmp",
        "ANSIBLE_COLLECTIONS_PATH": "/src/.dev:~/.ansible/collections:/usr/share/ansible/collections",
        "ANSIBLE_CALLBACK_PLUGINS": "",
        "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "False",
        "ANSIBLE_FORKS": "3",
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_INJECT_FACT_VARS": "False",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_NOCOWS": "1",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
    }


def test_the_users_own_ansible_settings_do_not_get_in() -> None:
    hostile = {"ANSIBLE_CONFIG": "/tmp/evil.cfg", "ANSIBLE_LIBRARY": "/tmp/evil", "AWX_LIB_DIRECTORY": "/tmp/evil"}
    assert not [value for value in env(hostile).values() if "evil" in value]


def test_forks_follow_the_hosts_up_to_a_limit() -> None:
    assert [env({}, hosts)["ANSIBLE_FORKS"] for hosts in (0, 1, 32, 500)] == ["1", "1", "32", "32"]
