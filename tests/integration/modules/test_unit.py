# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""unit on a real host: nothing restarts without reason, nothing that must restart is lost."""

from __future__ import annotations

import pytest
from integration.one_host import OneHost

pytestmark = pytest.mark.root

DECLARED = r"""
  labctl.stacks.unit: &declared
    role: lbt
    config_digest: "{{ digest | default('a') }}"
    units: &units
      - name: lbt-one.service
        content: &text |
          [Service]
          Type=exec
          ExecStart=/bin/sleep infinity
          [Install]
          WantedBy=multi-user.target
      - {name: lbt-two.service, content: *text}
      - name: lbt-job@.service
        content: |
          [Service]
          Type=oneshot
          ExecStart=/bin/sh -c 'echo ran %i >> /run/lbt-job'
      - {name: lbt-job@x.service, enabled: false}
      - {name: lbt-off.service, content: *text, state: stopped, enabled: false}
"""
STARTS = "systemctl show -P ExecMainStartTimestampMonotonic lbt-one lbt-two; cat /run/lbt-job"
LIFE = (
    r"""
- name: predicted
  check_mode: true"""
    + DECLARED
    + r"""
- name: first
  labctl.stacks.unit: *declared
- name: manifest after first
  ansible.builtin.slurp: {path: /var/lib/labctl/manifest.d/lbt.json}
- name: starts of first
  ansible.builtin.shell: STARTS
- name: second
  labctl.stacks.unit: *declared
- name: manifest after second
  ansible.builtin.slurp: {path: /var/lib/labctl/manifest.d/lbt.json}
- name: starts of second
  ansible.builtin.shell: STARTS
- name: drift
  ansible.builtin.shell: |
    systemctl stop lbt-one; systemctl disable lbt-two; systemctl start lbt-off
- name: drift predicted
  check_mode: true
  labctl.stacks.unit: *declared
- name: drift repaired
  diff: true
  labctl.stacks.unit: *declared
- name: mask
  ansible.builtin.shell: |
    rm /etc/systemd/system/lbt-one.service; systemctl mask --now lbt-one
    sed -i s/infinity/1000000/ /etc/systemd/system/lbt-two.service
- name: mask repaired
  labctl.stacks.unit: *declared
- name: processes
  ansible.builtin.shell: |
    systemctl is-active lbt-one lbt-two; systemctl is-enabled lbt-one; pgrep -xa sleep | grep 1000000 || true
- name: drop-in
  ansible.builtin.shell: |
    mkdir /etc/systemd/system/lbt-two.service.d
    printf '[Service]\nNice=5\n' > /etc/systemd/system/lbt-two.service.d/local.conf
- name: drop-in applied
  labctl.stacks.unit: *declared
- name: drop-in done
  labctl.stacks.unit: *declared
- name: new configuration predicted
  check_mode: true
  vars: {digest: b}
  labctl.stacks.unit: *declared
- name: new configuration
  vars: {digest: b}
  labctl.stacks.unit: *declared
- name: jobs
  ansible.builtin.command: cat /run/lbt-job
"""
).replace("STARTS", STARTS)


def test_life(host: OneHost) -> None:
    run = host.run_playbook(LIFE)
    assert run.rc == 0, run.stdout
    assert run["predicted"]["changes"] == run["first"]["changes"]
    assert run["first"]["started"] == ["lbt-job@x.service", "lbt-one.service", "lbt-two.service"]
    assert not run["second"]["changed"]
    assert run["starts of first"]["stdout"] == run["starts of second"]["stdout"], "no restart, and no second job"
    assert run["manifest after first"]["content"] == run["manifest after second"]["content"]

    assert run["drift predicted"]["changes"] == run["drift repaired"]["changes"]
    assert run["drift repaired"]["changes"] == [
        "lbt-one.service: inactive -> started",
        "lbt-two.service: disabled -> enabled",
        "lbt-off.service: active -> stopped",
    ]
    assert run["drift repaired"]["diff"][0]["after"].splitlines()[0] == "lbt-one.service: started"
    assert run["mask repaired"]["started"] == ["lbt-one.service"]
    assert run["mask repaired"]["restarted"] == ["lbt-two.service"], "it ran on the edited text, perhaps"
    assert run["processes"]["stdout"].split() == ["active", "active", "enabled"]
    assert run["drop-in applied"]["restarted"] == ["lbt-two.service"]
    assert not run["drop-in done"]["changed"]
    assert run["new configuration predicted"]["changes"] == run["new configuration"]["changes"]
    assert run["new configuration"]["restarted"] == ["lbt-one.service", "lbt-two.service"]
    assert run["jobs"]["stdout"].split() == ["ran", "x"] * 2, "a job is done once for each configuration"
    units = {unit["name"]: unit for unit in host.manifest("lbt")["sections"]["unit/main"]["units"]}
    two = units["lbt-two.service"]
    assert two["fragment"] == "/etc/systemd/system/lbt-two.service"
    assert list(two["drop_ins"]) == ["/etc/systemd/system/lbt-two.service.d/local.conf"]
    assert two["started"]["config"] == "b"


FAILURE = r"""
- name: fails
  ignore_errors: true
  labctl.stacks.unit: &broken
    role: lbt
    part: broken
    units:
      - name: lbt-broken.service
        content: |
          [Service]
          ExecStart=/bin/sh -c 'test -e /run/lbt-mended || { echo the reason is here; exit 3; }; exec sleep infinity'
          Restart=on-failure
          RestartSec=1h
          [Install]
          WantedBy=multi-user.target
- name: manifest of failure
  ansible.builtin.slurp: {path: /var/lib/labctl/manifest.d/lbt.json}
- name: mend
  ansible.builtin.file: {path: /run/lbt-mended, state: touch}
- name: works
  labctl.stacks.unit: *broken
- name: unknown
  ignore_errors: true
  labctl.stacks.unit: {role: lbt, part: other, units: [{name: lbt-unknown.service}]}
- name: cannot be enabled
  ignore_errors: true
  labctl.stacks.unit:
    role: lbt
    part: other
    units: [{name: lbt-x.service, content: "[Service]\nExecStart=/bin/true\n"}]
- name: of the distribution
  ansible.builtin.shell: |
    printf '[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n' \
      > /usr/lib/systemd/system/lbt-dist.service
    systemctl daemon-reload; systemctl mask lbt-dist
- name: unmasked
  labctl.stacks.unit: &dist {role: lbt, part: dist, units: [{name: lbt-dist.service}]}
- name: unmasked again
  labctl.stacks.unit: *dist
- name: dist state
  ansible.builtin.shell: systemctl is-active lbt-dist; systemctl is-enabled lbt-dist
- name: fewer predicted
  check_mode: true
  labctl.stacks.unit: {role: lbt, units: []}
- name: fewer
  labctl.stacks.unit: {role: lbt, units: []}
- name: all predicted
  check_mode: true
  labctl.stacks.unit: {role: lbt, state: absent}
- name: all
  labctl.stacks.unit: {role: lbt, state: absent}
- name: left
  ansible.builtin.shell: |
    systemctl list-units --all --plain --no-legend 'lbt-*' | grep -v lbt-dist
    find /etc/systemd /var/lib/labctl -name '*lbt*' -not -path '*.service.d*'
    systemctl is-enabled lbt-dist; systemctl is-active lbt-dist
    rm -rf /usr/lib/systemd/system/lbt-dist.service /etc/systemd/system/lbt-* /run/lbt-*; systemctl daemon-reload
"""


def test_a_failed_start_is_told_and_tried_again_and_removing_leaves_nothing(host: OneHost) -> None:
    run = host.run_playbook(FAILURE)
    assert run.rc == 0, run.stdout
    assert run.failed == ["fails", "unknown", "cannot be enabled"]
    assert "lbt-broken.service did not come up: activating (auto-restart), result exit-code" in run["fails"]["msg"]
    assert "the reason is here" in run["fails"]["msg"]
    assert "journalctl -u lbt-broken.service" in run["fails"]["hint"]
    assert run["works"]["started"] == ["lbt-broken.service"]
    assert "this host has no unit lbt-unknown.service" in run["unknown"]["msg"]
    assert "no [Install] section" in run["cannot be enabled"]["msg"]
    assert run["unmasked"]["changed"]
    assert not run["unmasked again"]["changed"]
    assert run["dist state"]["stdout"].split() == ["active", "enabled"]
    assert run["fewer predicted"]["changes"] == run["fewer"]["changes"]
    assert sorted(run["fewer"]["stopped"]) == ["lbt-one.service", "lbt-two.service"]
    assert run["all predicted"]["changes"] == run["all"]["changes"]
    assert run["left"]["stdout"].split() == ["/etc/systemd/system/lbt-dist.service", "masked", "inactive"], (
        "only the distribution's unit, which is masked as it was before"
    )
