# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bill of materials of a lab, as CycloneDX 1.6 JSON (ECMA-424).

Written as plain data: it is a page of code, where a library would come with ten packages; a test holds it against the
official schema. The same lab with the same lock gives the same text: no time, and a serial number made of the content.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab
from ansible_collections.labctl.stacks.plugins.module_utils.lablock import LabLock

from labctl.lab import artifacts
from labctl.lab.bundle import wheels

#: The namespace of our serial numbers, itself a name-based one.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/labctl")
_ALGORITHMS = {"sha256": "SHA-256", "sha512": "SHA-512"}

Component = dict[str, Any]


def sbom(lab: Lab) -> dict[str, Any]:
    """All that the lab is made of, as far as lock, catalogue and store tell; fetches nothing.

    Components are artefacts with what each was made from (jars, Go modules, archives), the hosts' image with its Debian
    packages, and labctl with its Python packages. Raises InputError and PreflightError as the lock does.
    """
    bom = _Bom()
    root = bom.add("application", lab.name, "", ref=f"lab:{lab.name}", listed=False)
    needs = [_artifact(lab, name, bom) for name in artifacts.needed(lab)]
    needs += _image(lab, bom)
    needs.append(_labctl(lab, bom))
    bom.depends(root["bom-ref"], needs)
    data: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": root,
            "tools": {"components": [{"type": "application", "name": "labctl", "version": metadata.version("labctl")}]},
        },
        "components": [bom.components[ref] for ref in sorted(bom.components)],
        "dependencies": [{"ref": ref, "dependsOn": sorted(on)} for ref, on in sorted(bom.edges.items())],
    }
    serial = uuid.uuid5(_NAMESPACE, json.dumps(data, sort_keys=True))
    return {**data, "serialNumber": f"urn:uuid:{serial}"}


class _Bom:
    """Components by their reference, and which needs which."""

    def __init__(self) -> None:
        self.components: dict[str, Component] = {}
        self.edges: dict[str, set[str]] = {}

    def add(
        self, kind: str, name: str, version: str, *, ref: str = "", purl: str = "", licence: str = "",
        digest: str = "", listed: bool = True, properties: Mapping[str, str] | None = None,
    ) -> Component:  # fmt: skip
        """Add a component once, however often it is met; ``digest`` is ``sha256:<hex>`` or ``sha512:<hex>``."""
        component: Component = {"type": kind, "bom-ref": ref or purl or f"{name}@{version}", "name": name}
        if version:
            component["version"] = version
        if licence:
            component["licenses"] = [{"expression": licence}]
        if purl:
            component["purl"] = purl
        algorithm, _, value = digest.partition(":")
        if algorithm in _ALGORITHMS and value:
            component["hashes"] = [{"alg": _ALGORITHMS[algorithm], "content": value}]
        elif value:  # a digest that CycloneDX has no name for, such as Go's h1:
            properties = {**(properties or {}), "labctl:digest": digest}
        if properties:
            component["properties"] = [{"name": key, "value": properties[key]} for key in sorted(properties)]
        if listed:
            component = self.components.setdefault(component["bom-ref"], component)
        self.edges.setdefault(component["bom-ref"], set())
        return component

    def depends(self, ref: str, on: Iterable[str]) -> None:
        self.edges.setdefault(ref, set()).update(on)

    def parts(self, ref: str, parts: Iterable[Mapping[str, str]]) -> None:
        """Add what a component is made from, as :meth:`Source.inputs` lists it; but not the component itself."""
        for part in parts:
            if part["purl"] != self.components[ref].get("purl"):
                made = self.add(
                    "library", part["name"], part["version"], purl=part["purl"], licence=part["licence"],
                    digest=part["digest"],
                )  # fmt: skip
                self.depends(ref, [made["bom-ref"]])
            elif ":" in part["digest"]:
                self.components[ref].setdefault("properties", []).append(
                    {"name": "labctl:archive", "value": part["digest"]}
                )


def _artifact(lab: Lab, name: str, bom: _Bom) -> str:
    """Add an artefact as the lab has it locked, and what the source that the store has it from is made of."""
    store, lock = artifacts.store_of(lab), LabLock(lab.spec.parent)
    entry = lock.wanted(name, None, store)
    found = store.find(entry, digest=lock.digest(entry))
    source = next((item for item in entry.sources if found and item.name == found.origin), entry.sources[0])
    digest = lock.digest(entry) or (found.digest if found else "")
    made = bom.add(
        "application", name, entry.version, purl=f"pkg:generic/{name}@{entry.version}", licence=entry.licence,
        properties={"labctl:source": source.name, **({"labctl:tree": f"sha256:{digest}"} if digest else {})},
    )  # fmt: skip
    bom.parts(made["bom-ref"], source.inputs())
    return str(made["bom-ref"])


def _image(lab: Lab, bom: _Bom) -> list[str]:
    """Add the image of the lab's hosts, where it is known already, and its packages."""
    if lab.provider.type != "nspawn":
        return []
    from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import image
    from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.debian import parts

    found = image.wanted(image.recipe_for(lab.provider.image, lab.stacks), image.lock_of(lab))
    if found is None:
        return []
    made = bom.add(
        "operating-system", lab.provider.image, "", ref=f"image:{lab.provider.image}", digest=f"sha256:{found.digest}"
    )
    bom.parts(made["bom-ref"], parts(found.files))
    return [made["bom-ref"]]


def _labctl(lab: Lab, bom: _Bom) -> str:
    """Add labctl and the Python packages it runs on; with the digests of their wheels where the store has those."""
    version = metadata.version("labctl")
    made = bom.add(
        "application", "labctl", version, purl=f"pkg:pypi/labctl@{version}", licence=wheels.licence("labctl")
    )
    entry = wheels.wheels()
    found = artifacts.store_of(lab).find(entry)
    digests = {
        file.path.split("-")[0].lower().replace("_", "-").replace(".", "-"): f"sha256:{file.sha256}"
        for file in (found.entries if found else ())
    }
    parts = [{**part, "digest": digests.get(part["name"], "")} for part in entry.sources[0].inputs()]
    bom.parts(made["bom-ref"], parts)
    return str(made["bom-ref"])


def text(data: Mapping[str, Any]) -> str:
    """The bill as a file holds it."""
    return json.dumps(data, indent=2, sort_keys=True) + "\n"
