# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: Kubernetes' objects as data: what names them, how two of them differ, what tells a change.

Pure functions. Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError

#: What the API server and controllers write into an object's metadata for themselves.
_KEPT_BY_SERVER = ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink")
_ANNOTATIONS_OF_OTHERS = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
)
#: Kinds without a generation whose resourceVersion moves though nobody changes what was asked for.
_RESTLESS = ("PersistentVolume", "PersistentVolumeClaim", "Node", "Lease", "Endpoints", "Event")
MANAGED_BY = "app.kubernetes.io/managed-by"
#: Differing fields that a line names.
_NAMED = 6


class Ident(NamedTuple):
    """What makes an object that very one: its API group without the version, kind, namespace ("" for none) and name."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def ident_of(item: dict[str, Any]) -> Ident:
    """The identity of an object, or of a reference to one."""
    version = str(item["apiVersion"])
    group = version.partition("/")[0] if "/" in version else ""
    metadata = item["metadata"]
    return Ident(group, str(item["kind"]), str(metadata.get("namespace") or ""), str(metadata["name"]))


def reference(item: dict[str, Any]) -> dict[str, Any]:
    """As little of an object as finds it again."""
    metadata = {key: item["metadata"][key] for key in ("name", "namespace") if item["metadata"].get(key)}
    return {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata}


def check_objects(items: Any) -> list[dict[str, Any]]:
    """The objects; InputError naming the place for what is none, and for one that is there twice."""
    if not isinstance(items, list):
        raise InputError("manifests is not a list of objects", hint="give a list, such as from_yaml_all makes")
    seen: dict[Ident, int] = {}
    for number, item in enumerate(items, 1):
        metadata = item.get("metadata") if isinstance(item, dict) else None
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not (isinstance(name, str) and name and item.get("kind") and item.get("apiVersion")):
            raise InputError(
                f"manifests, entry {number}: no apiVersion, kind or metadata.name",
                hint="each entry is one object; an empty document of a YAML file makes an entry of its own",
            )
        first = seen.setdefault(ident_of(item), number)
        if first != number:
            raise InputError(
                f"manifests, entry {number}: {ident_of(item)} is entry {first} already", hint="declare it once"
            )
    return items


def owned(item: dict[str, Any]) -> dict[str, Any]:
    """The object with the usual label that says who manages it, unless it says so itself.

    Besides being of use to people: an apply that owns no field of an object, as of a namespace of which only the name
    is declared, has the server write the object anew at the next one (its manager "before-first-apply").
    """
    metadata = item["metadata"]
    labels = {MANAGED_BY: "labctl", **(metadata.get("labels") or {})}
    return {**item, "metadata": {**metadata, "labels": labels}}


def bare(item: dict[str, Any]) -> dict[str, Any]:
    """A copy without status and without what the server and its controllers write for themselves."""
    kept = copy.deepcopy({key: value for key, value in item.items() if key != "status"})
    metadata = kept.setdefault("metadata", {})
    for key in _KEPT_BY_SERVER:
        metadata.pop(key, None)
    for key in _ANNOTATIONS_OF_OTHERS:
        (metadata.get("annotations") or {}).pop(key, None)
    for key in ("annotations", "labels"):
        if not metadata.get(key):
            metadata.pop(key, None)
    return kept


def is_secret(item: dict[str, Any]) -> bool:
    """Whether its values must not be shown."""
    return item.get("kind") == "Secret" and item.get("apiVersion") == "v1"


def secrets_of(item: dict[str, Any]) -> list[str]:
    """The values of a Secret, to be kept out of messages."""
    if not is_secret(item):
        return []
    values = [str(value) for key in ("data", "stringData") for value in (item.get(key) or {}).values()]
    return [value for value in values if value]


def texts(before: dict[str, Any] | None, after: dict[str, Any] | None) -> tuple[str, str]:
    """Both objects as text for a diff; of a Secret's values only whether they differ."""
    shown = []
    for item, other, word in ((before, after, "(secret)"), (after, before, "(secret, another)")):
        if item is None:
            shown.append("")
            continue
        kept = bare(item)
        if is_secret(kept):
            for key in ("data", "stringData"):
                values, others = kept.get(key) or {}, ((other or {}).get(key) or {})
                for name, value in values.items():
                    same = other is None or name not in others or others[name] == value
                    values[name] = "(secret)" if same else word
        shown.append(json.dumps(kept, indent=2, sort_keys=True) + "\n")
    return shown[0], shown[1]


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """The dotted paths of the fields in which two objects differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after)):  # noqa: B905 - Python 3.8
            yield from differences(one, other, f"{path}.{number}")
    elif before != after:
        yield path


def named(paths: list[str]) -> str:
    """Some of the paths, and how many more there are."""
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(paths[:_NAMED]) + more


#: What ``line_of`` does, in kubectl's language.
TEMPLATE = (
    '{{define "one"}}{{.kind}} {{with .metadata.namespace}}{{.}}/{{end}}{{.metadata.name}} {{.metadata.uid}} '
    "{{if .metadata.generation}}g{{.metadata.generation}}{{else if or .aggregationRule "
    + " ".join(f'(eq .kind "{kind}")' for kind in _RESTLESS)
    + '}}-{{else}}r{{.metadata.resourceVersion}}{{end}}{{"\\n"}}{{end}}'
    '{{if eq .kind "List"}}{{range .items}}{{template "one" .}}{{end}}{{else}}{{template "one" .}}{{end}}'
)


def line_of(item: dict[str, Any]) -> str:
    """A line that differs once somebody changed what the object asks for, or made it anew.

    The generation counts changes of what is asked for; where a kind has none, the resourceVersion counts all changes,
    unless it is of a kind that others keep writing to.
    """
    metadata = item["metadata"]
    if metadata.get("generation"):
        count = f"g{metadata['generation']}"
    elif item.get("aggregationRule") or item["kind"] in _RESTLESS:
        count = "-"
    else:
        count = f"r{metadata.get('resourceVersion', '')}"
    space = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{item['kind']} {space}{metadata['name']} {metadata.get('uid', '')} {count}"
