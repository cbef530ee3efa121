# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every role promises, read off its files: one shape, one truth for variables, no tricks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.parent.parent for path in ROOT.glob("roles/*/meta/argument_specs.yml"))
PRODUCT_ROLES = [role for role in ROLES if role.name != "common"]
PHASES = ["preflight.yml", "install.yml", "configure.yml", "service.yml", "check.yml"]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_the_roles_are_found() -> None:
    assert {"common", "hdfs", "yarn"} <= {role.name for role in ROLES}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_and_argument_specs_hold_the_same_keys_and_values(role: Path) -> None:
    specs = load(role / "meta/argument_specs.yml")["argument_specs"]
    specified: dict[str, Any] = {}
    for name, entry in specs.items():
        for option, spec in (entry.get("options") or {}).items():
            assert option.startswith(f"{role.name}_"), f"{name}: {option} does not carry the role's name"
            assert spec.get("description"), f"{name}: {option} is not described"
            if not spec.get("required"):
                assert "default" in spec, f"{name}: {option} is neither required nor has a default"
                assert specified.setdefault(option, spec["default"]) == spec["default"], (
                    f"{option} differs between entry points"
                )
    assert load(role / "defaults/main.yml") == specified


@pytest.mark.parametrize("role", PRODUCT_ROLES, ids=lambda role: role.name)
def test_main_is_the_five_phases_and_nothing_else(role: Path) -> None:
    tasks = load(role / "tasks/main.yml")
    assert [task["ansible.builtin.import_tasks"] for task in tasks] == PHASES
    for task, phase in zip(tasks, PHASES, strict=True):
        assert task["tags"] == [role.name, f"{role.name}_{phase.removesuffix('.yml')}"]
    assert (role / "tasks/remove.yml").is_file()
    first, *others = [
        re.sub(r"\b" + r.name + r"\b|" + r.name + "_", "ROLE", (r / "tasks/main.yml").read_text())
        for r in PRODUCT_ROLES
    ]
    assert all(other == first for other in others)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_no_role_knows_a_group_or_keeps_handlers(role: Path) -> None:
    text = "".join(
        path.read_text()
        for folder in ("tasks", "templates", "defaults", "vars")
        for path in (role / folder).rglob("*")
        if path.is_file()
    )
    assert not re.search(r"\bgroups\[|\bgroup_names\b", text)
    assert not (role / "handlers").exists()
    assert not re.search(r"(?m)^\s*(- )?pause:|ansible\.builtin\.(shell|pause)\b", text)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_files_stay_small(role: Path) -> None:
    for path in (role / "tasks").glob("*.yml"):
        assert len(path.read_text().splitlines()) <= 100, path
    total = sum(len(path.read_text().splitlines()) for path in role.rglob("*") if path.suffix in {".yml", ".j2"})
    assert total <= 700, total


@pytest.mark.parametrize("playbook", sorted(ROOT.glob("playbooks/*.yml")), ids=lambda path: path.name)
def test_playbooks_fit_a_glance(playbook: Path) -> None:
    assert len(playbook.read_text().splitlines()) <= 40
