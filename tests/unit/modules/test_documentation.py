# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bulk module documents is what it takes."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import yaml
from ansible_collections.labctl.stacks.plugins.doc_fragments.bulk import ModuleDocFragment
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import BULK_OPTIONS

MODULES = ("system", "config_tree", "artifact", "unit", "ready", "k8s_apply", "helm_release")
#: Options that the action turns into others.
OF_ACTIONS = {"content", "rolling", "manifests", "chart", "values"}


def loaded(name: str) -> Any:
    return importlib.import_module(f"ansible_collections.labctl.stacks.plugins.modules.{name}")


def plain(documented: dict[str, Any]) -> dict[str, Any]:
    """Documented options in the shape of an argument_spec, without what only people read."""
    spec = {}
    for name, option in documented.items():
        if name in OF_ACTIONS:
            continue
        kept = {key: option[key] for key in ("type", "required", "default", "choices", "elements") if key in option}
        if "suboptions" in option:
            kept["options"] = plain(option["suboptions"])
        spec[name] = kept
    return spec


def without_no_log(spec: dict[str, Any]) -> dict[str, Any]:
    cleaned = {}
    for name, option in spec.items():
        cleaned[name] = {key: value for key, value in option.items() if key != "no_log"}
        if "options" in option:
            cleaned[name]["options"] = without_no_log(option["options"])
    return cleaned


@pytest.mark.parametrize("name", MODULES)
def test_options_and_their_defaults_are_those_documented(name: str) -> None:
    module = loaded(name)
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    fragment = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    assert plain({**fragment, **documented}) == without_no_log({**BULK_OPTIONS, **module.OPTIONS})


@pytest.mark.parametrize("name", MODULES)
def test_examples_use_only_documented_options(name: str) -> None:
    module = loaded(name)
    fragment = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    documented = {**fragment, **yaml.safe_load(module.DOCUMENTATION)["options"]}
    examples = yaml.safe_load(module.EXAMPLES)
    assert examples
    for task in examples:
        assert task["name"]
        check_known(task[f"labctl.stacks.{name}"], documented)


def check_known(given: dict[str, Any], documented: dict[str, Any]) -> None:
    for option, value in given.items():
        assert option in documented
        for entry in value if isinstance(value, list) else []:
            if "suboptions" in documented[option]:
                check_known(entry, documented[option]["suboptions"])


@pytest.mark.parametrize("name", ["config_tree", "unit"])
def test_bodies_are_never_logged(name: str) -> None:
    (listed,) = (
        option
        for option in loaded(name).OPTIONS.values()
        if option.get("elements") == "dict" and "content_b64" in option["options"]
    )
    assert listed["options"]["content_b64"]["no_log"] is True
