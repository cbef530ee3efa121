# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bill of materials of a lab, held against the official schema of CycloneDX."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab, load_lab
from ansible_collections.labctl.stacks.plugins.module_utils.lablock import LabLock
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import image
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue
from ansible_collections.labctl.stacks.plugins.module_utils.store.tree import Entry
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from labctl.lab import artifacts
from labctl.lab.sbom import sbom, text
from labctl.lab.topology import lab_text, topology

DEBS = ("libc6_2.41-12+deb13u4_amd64.deb", "zlib1g_1%3a1.3.dfsg+really1.3.1-1_amd64.deb", "tzdata_2026a_all.deb")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("LABCTL_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "lab.yml").write_text(lab_text("hadoop", topology("hadoop").stack, "nspawn"))
    return load_lab(tmp_path / "lab.yml")


def lock_image(lab: Lab) -> image.Locked:
    files = tuple(Entry(name, 0o444, 1, f"{number:064x}") for number, name in enumerate((*DEBS, "Packages")))
    locked = image.Locked(image.recipe_for("debian-13", lab.stacks).digest, "f" * 64, 10, files)
    LabLock(lab.spec.parent).record_image(locked.to_dict())
    return locked


def valid(data: dict[str, Any]) -> None:
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text(data))
    assert error is None, error


def by_purl(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {part["purl"]: part for part in data["components"] if "purl" in part}


def test_a_bill_is_valid_and_holds_every_kind_of_part(lab: Lab) -> None:
    locked = lock_image(lab)
    data = sbom(lab)
    valid(data)
    found = by_purl(data)
    assert found["pkg:generic/hadoop@3.5.0"]["licenses"] == [{"expression": "Apache-2.0"}]
    jar = found["pkg:maven/com.google.code.gson/gson@2.9.0"]
    assert jar["hashes"] == [
        {"alg": "SHA-256", "content": "c96d60551331a196dac54b745aa642cd078ef89b6f267146b705f2c2cbef052d"}
    ]
    assert found["pkg:deb/debian/libc6@2.41-12%2Bdeb13u4?arch=amd64"]["hashes"][0]["content"] == "0" * 64
    assert "pkg:deb/debian/zlib1g@1%3A1.3.dfsg%2Breally1.3.1-1?arch=amd64" in found
    assert f"pkg:pypi/pyyaml@{metadata.version('pyyaml')}" in found
    (system,) = [part for part in data["components"] if part["type"] == "operating-system"]
    assert system["hashes"] == [{"alg": "SHA-256", "content": locked.digest}]
    edges = {edge["ref"]: edge["dependsOn"] for edge in data["dependencies"]}
    assert edges["lab:hadoop"] == sorted(
        ["pkg:generic/hadoop@3.5.0", "image:debian-13", f"pkg:pypi/labctl@{metadata.version('labctl')}"]
    )
    assert len(edges["image:debian-13"]) == 3
    assert set(edges) == {"lab:hadoop", *(part["bom-ref"] for part in data["components"])}


def test_the_same_lab_gives_the_same_bill_and_another_one_another_number(lab: Lab) -> None:
    first = sbom(lab)
    assert text(sbom(lab)) == text(first)
    lock_image(lab)
    assert sbom(lab)["serialNumber"] != first["serialNumber"]
    assert first["serialNumber"].startswith("urn:uuid:")


def test_without_an_image_the_bill_says_what_is_known(lab: Lab) -> None:
    data = sbom(lab)
    valid(data)
    assert not [part for part in data["components"] if part["type"] == "operating-system"]


def test_a_locked_artefact_has_the_digest_of_its_tree(lab: Lab) -> None:
    LabLock(lab.spec.parent).record([("hadoop", "3.5.0", catalogue("hadoop").arch, "a" * 64)])
    properties = by_purl(sbom(lab))["pkg:generic/hadoop@3.5.0"]["properties"]
    assert {"name": "labctl:tree", "value": f"sha256:{'a' * 64}"} in properties


@pytest.mark.parametrize("name", ["etcd", "kubernetes", "consul", "image-pause"])
def test_go_modules_and_images_are_valid_parts(lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "needed", lambda lab: [name])
    data = sbom(lab)
    valid(data)
    if name == "etcd":
        assert any(purl.startswith("pkg:golang/go.etcd.io/etcd/") for purl in by_purl(data)), json.dumps(data)[:2000]
