# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line and environment Ansible is started with. Pure: given the same words, the same answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

#: Marks every process of a run, so that an interrupted one leaves none behind.
RUN_MARK = "LABCTL_RUN"
#: The one setting that has no environment variable. By default Ansible looks for results a thousand times a second,
#: which costs the daemons that start meanwhile on the same machine a processor.
CONFIG = "[defaults]\ninternal_poll_interval = 0.02\n"
_MAX_FORKS = 32
#: Ansible's own settings, and those by which ansible-runner talks to its part inside Ansible.
_NOT_PASSED_ON = ("ANSIBLE_", "AWX_", "RUNNER_", "ORIGINAL_STDOUT_CALLBACK")


def playbook_argv(
    program: str,
    playbook: str,
    inventory: Path,
    *,
    limit: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
    check: bool = False,
    diff: bool = False,
    verbosity: int = 0,
    setpriv: str = "",
) -> list[str]:
    """``ansible-playbook`` for one playbook, named by its path or collection name, on all hosts or on ``limit``.

    With ``tags``, only what bears one of them is run.

    With ``setpriv``, util-linux's, the kernel interrupts Ansible where labctl is killed without a chance to do so.
    """
    argv = [setpriv, "--pdeathsig", "INT"] if setpriv else []
    argv += [program, "--inventory", str(inventory)]
    if limit:
        argv += ["--limit", ",".join(limit)]
    if tags:
        argv += ["--tags", ",".join(tags)]
    if check:
        argv.append("--check")
    if diff:
        argv.append("--diff")
    if verbosity > 0:
        argv.append("-" + "v" * min(verbosity, 4))
    return [*argv, playbook]


def environment(
    base: Mapping[str, str],
    *,
    scripts: Path,
    collections: Path,
    private: Path,
    hosts: int,
    run_id: str,
) -> dict[str, str]:
    """The environment of ``ansible-playbook``.

    Nothing of the user's own Ansible settings gets in: neither variables nor an ansible.cfg, which could lie in
    the current folder and be another's. ``scripts`` is where our environment's programs are, ``collections``
    where this very copy of the collection is, ``private`` a folder of the run's own whose ansible.cfg is
    :data:`CONFIG`.
    """
    env = {key: value for key, value in base.items() if not key.startswith(_NOT_PASSED_ON)}
    path = env.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return env | {
        RUN_MARK: run_id,
        "PATH": f"{scripts}:{path}",
        # Ansible refuses to start in a locale that is not UTF-8.
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(private / "ansible.cfg"),
        "ANSIBLE_HOME": str(private / "home"),
        "ANSIBLE_LOCAL_TEMP": str(private / "tmp"),
        # Ours first: another copy in the user's collections must not be mixed with this labctl.
        "ANSIBLE_COLLECTIONS_PATH": f"{collections}:~/.ansible/collections:/usr/share/ansible/collections",
        "ANSIBLE_CALLBACK_PLUGINS": "",
        "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "False",
        "ANSIBLE_FORKS": str(max(1, min(hosts, _MAX_FORKS))),
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_INJECT_FACT_VARS": "False",
        # A lab whose inventory cannot be read must not pass for a lab without hosts.
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_NOCOWS": "1",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
    }
