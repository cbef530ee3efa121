# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ready on a real host: it waits for what comes, and says what it last saw of what does not."""

from __future__ import annotations

import pytest
from integration.one_host import OneHost

pytestmark = pytest.mark.root

LIFE = r"""
- name: server
  ansible.builtin.copy:
    dest: /run/lbt-server.py
    content: |
      import http.server, time
      class Handler(http.server.BaseHTTPRequestHandler):
          def do_GET(self):
              self.send_response(503 if self.path == "/sick" else 200)
              self.end_headers()
              self.wfile.write(b'{"beans": [{"tag.State": "active", "Live": 2, "Safe": false}]}' + b" " * 100)
      time.sleep(1)
      http.server.ThreadingHTTPServer.server_bind = __import__("socketserver").TCPServer.server_bind
      server = http.server.ThreadingHTTPServer(("127.0.0.1", 18099), Handler)
      server.serve_forever()
- name: start
  ansible.builtin.command: systemd-run --unit=lbt-server python3 /run/lbt-server.py
- name: looked at
  check_mode: true
  labctl.stacks.ready:
    role: lbt
    checks: [{name: port, port: 18099}, {name: always, command: ["true"]}]
- name: waited
  labctl.stacks.ready: &checks
    role: lbt
    timeout: 20
    checks:
      - {name: port, port: 18099}
      - {name: page, url: "http://127.0.0.1:18099/", contains: active}
      - name: values
        url: http://127.0.0.1:18099/jmx
        json: {beans.0.tag.State: active, beans.0.Live: "{{ 1 + 1 }}", beans.0.Safe: false}
      - {name: sick, url: "http://127.0.0.1:18099/sick", status: 503}
      - {name: code, command: [sh, -c, exit 7], rc: 7}
- name: manifest after first
  ansible.builtin.slurp: {path: /var/lib/labctl/manifest.d/lbt.json}
- name: again
  labctl.stacks.ready: *checks
- name: manifest after second
  ansible.builtin.slurp: {path: /var/lib/labctl/manifest.d/lbt.json}
- name: not ready
  ignore_errors: true
  labctl.stacks.ready:
    role: lbt
    timeout: 1
    checks:
      - {name: closed, port: 18098}
      - {name: sick, url: "http://127.0.0.1:18099/sick"}
      - {name: text, url: "http://127.0.0.1:18099/", contains: passive}
      - {name: value, url: "http://127.0.0.1:18099/", json: {beans.0.Live: 3}}
      - {name: none, url: "http://127.0.0.1:18099/", json: {beans.1.Live: 3}}
      - {name: code, command: [sh, -c, "echo because >&2; exit 7"]}
      - {name: slow, command: [sleep, "100"]}
      - {name: program, command: [lbt-no-such-program]}
- name: password
  ignore_errors: true
  labctl.stacks.ready: {role: lbt, checks: [{name: page, url: "http://me:hidden-word@127.0.0.1/"}]}
- name: forgotten
  labctl.stacks.ready: {role: lbt, state: absent}
- name: stop
  ansible.builtin.shell: |
    systemctl stop lbt-server; rm /run/lbt-server.py; ls -d /var/lib/labctl/manifest* 2>/dev/null || true
"""


def test_life(host: OneHost) -> None:
    run = host.run_playbook(LIFE)
    assert run.rc == 0, run.stdout
    assert run["looked at"]["pending"] == {"port": "connection refused by 127.0.0.1:18099"}
    assert not run["waited"]["changed"]
    assert run["waited"]["ready"]
    assert run["manifest after first"]["content"] == run["manifest after second"]["content"]
    assert run.failed == ["not ready", "password"]
    lines = [line.strip() for line in run["not ready"]["msg"].splitlines()]
    for start in (
        "not ready after 1.",
        "closed: connection refused by 127.0.0.1:18098, for 1.",
        'sick: HTTP 503: {"beans"',
        "text: HTTP 200 without 'passive'",
        "value: beans.0.Live is 2, expected 3",
        "none: no beans.1.Live in the answer",
        "code: sh: exit code 7: because",
        "slow: sleep: not done after",
        "program: lbt-no-such-program: No such file or directory",
    ):
        assert any(line.startswith(start) for line in lines), (start, lines)
    assert max(map(len, lines)) < 400
    assert "a password in a url would be shown" in run["password"]["msg"]
    assert run["forgotten"]["manifest"]["sha256"] == ""
    assert run["stop"]["stdout"] == ""
