# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long after a service opened its port the module `ready` has said so, in a real play on a real host."""

from __future__ import annotations

import os
import subprocess
import time

from bench.figures import Goal, Row
from bench.session import ROOT, SCRIPTS, BenchLab, Session

ABOUT = """\
**Ready.** A service on a host listens at a moment it writes down; a play with the module `ready` waits for it
meanwhile. Counted is from that moment until `ansible-playbook` prints the task's result: the polling interval, the
module's end, ssh and Ansible's own are all in it. Host and controller share one monotonic clock here, which a
systemd-nspawn host does not have to itself."""

PORT, DELAY = 28999, 4.0
SERVICE = (
    "import socket,time;time.sleep({delay});s=socket.socket();s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1);"
    "s.bind(('127.0.0.1',{port}));s.listen();print(time.monotonic(),flush=True);time.sleep(3)"
)
PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: Wait for it
      labctl.stacks.ready:
        role: bench
        timeout: 30
        checks:
          - {name: the port is open, port: PORT}
"""


def measure(session: Session) -> None:
    """The delay of `ready`, on one bare host."""
    lab = session.lab("bench-ready")
    (lab.folder / "lab.yml").write_text(f"name: {lab.name}\nprovider: nspawn\nhosts: {{one: {{}}}}\n")
    (lab.folder / "ready.yml").write_text(PLAY.replace("PORT", str(PORT)))
    lab.workers = 0
    lab.up()
    session.each_round("ready", lambda: session.note("ready after the service, s", _delay(lab)))
    lab.down()
    ours = session.median("ready after the service, s")
    session.rows.append(
        Row(
            "ready reported after the service is",
            "s",
            "the service's own clock",
            None,
            ours,
            Goal("at most", 0.3, "labctl"),
        )
    )


def _delay(lab: BenchLab) -> float:
    program = SERVICE.format(delay=DELAY, port=PORT)
    ssh = ["ssh", "-F", str(lab.config), "-oBatchMode=yes", "-T", "--", "one", f'exec python3 -c "{program}"']
    env = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".dev"),
        "ANSIBLE_PIPELINING": "1",
        "PYTHONUNBUFFERED": "1",
    }
    argv = [str(SCRIPTS / "ansible-playbook"), "-i", "nspawn.yml", "ready.yml"]
    with (
        # Apart: ssh makes its stderr non-blocking for all who share it, and Ansible refuses such a one.
        subprocess.Popen(ssh, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as service,
        subprocess.Popen(
            argv, cwd=lab.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as play,
    ):
        assert service.stdout is not None and play.stdout is not None  # noqa: S101 - both are pipes
        said, seen = [], 0.0
        for line in play.stdout:
            said.append(line)
            if line.startswith(("ok: [one]", "changed: [one]")):
                seen = time.monotonic()
        opened = service.stdout.read()
    if not seen or not opened.strip():
        raise SystemExit(f"ready did not see the service:\n{''.join(said)}")
    return seen - float(opened)
