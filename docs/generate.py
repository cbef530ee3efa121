#!/usr/bin/env python3
# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the parts of the documentation that repeat what the code says; ``--check`` says which are out of date.

Each part stands between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``: the variables of a role from its
argument_specs, and the groups of the inventory from the table of stacks.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".dev"))

from ansible_collections.labctl.stacks.plugins.module_utils.stacks import STACKS  # noqa: E402


def sentence(value: str | list[str]) -> str:
    text = " ".join(value) if isinstance(value, list) else value
    return " ".join(text.split()).replace("|", "\\|")


def default(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "required"
    value = option.get("default", "")
    shown = yaml.safe_dump(value, default_flow_style=True, width=1000).splitlines()[0]
    return f"`{shown.strip()}`".replace("|", "\\|") if value != "" else ""


def variables(role: Path) -> str:
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    lines = ["| variable | type | default | what it is |", "|---|---|---|---|"]
    for name, option in specs["main"]["options"].items():
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        choices = f" One of {', '.join(map(str, option['choices']))}." if "choices" in option else ""
        lines.append(f"| `{name}` | {kind} | {default(option)} | {sentence(option['description'])}{choices} |")
    return "\n".join(lines)


def groups() -> str:
    lines = ["| group | stack | its hosts |", "|---|---|---|"]
    for stack in STACKS.values():
        lines += [f"| `{group}` | {stack.name} | {text} |" for group, text in stack.groups.items()]
    return "\n".join(lines)


def replaced(text: str, name: str, body: str) -> str:
    pattern = re.compile(rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}{body}\n{match[2]}", text)


def wanted() -> dict[Path, str]:
    """Each documented file with the text it should have."""
    files = {}
    for readme in sorted(ROOT.glob("roles/*/README.md")):
        if "<!-- variables: begin -->" in readme.read_text():
            files[readme] = replaced(readme.read_text(), "variables", variables(readme.parent))
    inventories = ROOT / "inventories/README.md"
    files[inventories] = replaced(inventories.read_text(), "groups", groups())
    return files


def main() -> int:
    stale = [(path, text) for path, text in wanted().items() if path.read_text() != text]
    for path, text in stale:
        if "--check" in sys.argv[1:]:
            print(f"{path.relative_to(ROOT)} is out of date; run: make docs", file=sys.stderr)  # noqa: T201
        else:
            path.write_text(text)
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
