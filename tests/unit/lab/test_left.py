# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two labs must have in common to count as the same, and what may differ."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.lab import HostSpec, Lab, ProviderSpec
from ansible_collections.labctl.stacks.plugins.module_utils.providers.base import Host
from labctl.lab import backend
from labctl.lab.replay import compare
from labctl.lab.runs import left

RULES = "accept 10.0.0.2\naccept 10.0.0.20\n"


class Answers:
    """One host of a lab that answers with a manifest and with files."""

    def __init__(self, folder: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lab = Lab("demo", ProviderSpec("nspawn"), (HostSpec("head"),), ("hadoop",), {}, None, folder / "l", folder)
        folder.mkdir()
        host = Host("head", address, "running", {"lab_controller_addresses": [f"{address[:-1]}1"]})
        self.files = {
            "/etc/rules": RULES.replace("10.0.0.2\n", f"{address}\n"),
            "/etc/site": f"<id>{self.lab.lab_id(create=True)}</id> {address}:9870 {address[:-1]}1",
        }
        self.files["/etc/unit"] = f"X-Rules={self.sha('/etc/rules')}"
        self.secret = "one"
        self.patch, self.host, self.folder = monkeypatch, host, folder

    def sha(self, path: str) -> str:
        return hashlib.sha256(self.files[path].encode()).hexdigest()

    def manifest(self) -> dict[str, Any]:
        files = [{"path": path, "mode": "0644", "before": "absent", "sha256": self.sha(path)} for path in self.files]
        files.append({"path": "/etc/key", "mode": "0600", "secret": True, "hmac_sha256": self.secret})
        units = [{"name": "a.service", "enabled": True, "invocation": os.urandom(4).hex(), "started": {"text": "x"}}]
        checks = [{"name": "answers", "host": self.host.address, "port": 9}]
        packages = [{"name": "jre", "version": "1", "before": "installed"}]
        found = {"config_tree/main": {"files": files}, "unit/main": {"units": units}}
        return {"role": "hdfs", "sections": {**found, "system/main": {"packages": packages, "checks": checks}}}

    def left(self, *, code: int = 0, **more: Any) -> dict[str, Any]:
        manifest = self.manifest()
        manifest["sections"] |= more
        program = self.folder / "bin/ssh"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(manifest)}\nEND\nexit {code}\n")
        program.chmod(0o755)
        with self.patch.context() as patch:
            patch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
            patch.setattr(backend, "provider_for", lambda lab: type("P", (), {"hosts": lambda self_: [self.host]})())
            patch.setattr(
                backend,
                "file_content",
                lambda lab, host, paths: {path: self.files[path].encode() for path in paths if path in self.files},
            )
            return left(self.lab, ["head"])


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answers:
    return Answers(tmp_path / "one", "10.0.0.2", monkeypatch)


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answers:
    return Answers(tmp_path / "other", "172.16.7.2", monkeypatch)


def test_ids_addresses_secrets_and_starts_may_differ(one: Answers, other: Answers) -> None:
    other.secret = "another"
    assert one.lab.lab_id() != other.lab.lab_id()
    assert compare(one.left(), other.left()) == []


def test_an_address_within_another_is_not_taken_for_it(one: Answers, other: Answers) -> None:
    other.files["/etc/rules"] = other.files["/etc/rules"].replace("10.0.0.20", "172.16.7.20")
    other.files["/etc/unit"] = f"X-Rules={other.sha('/etc/rules')}"
    assert compare(one.left(), other.left()) == ["head, hdfs: file /etc/rules differs"]


def test_what_differs_is_named(one: Answers, other: Answers) -> None:
    before = one.left()
    other.files["/etc/site"] += " "
    del other.files["/etc/unit"]
    after = other.left(**{"system/main": {"packages": [{"name": "jre", "version": "2"}], "users": [{"name": "hdfs"}]}})
    assert compare(before, after) == [
        "head, hdfs: check answers is missing",
        "head, hdfs: file /etc/site differs",
        "head, hdfs: file /etc/unit is missing",
        "head, hdfs: package jre differs",
        "head, hdfs: user hdfs is new",
    ]


def test_a_host_without_an_answer_is_left_out(one: Answers, other: Answers) -> None:
    assert set(one.left()) == {"head"}
    assert compare(one.left(), other.left(code=255)) == ["head: known of that run only"]
