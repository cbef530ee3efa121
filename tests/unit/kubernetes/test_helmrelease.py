# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""helm_release: when it upgrades, what it records, what it does with a release that broke off. On a double of helm."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible_collections.labctl.stacks.plugins.action.helm_release import packed
from ansible_collections.labctl.stacks.plugins.module_utils import helmrelease
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import Call, Outcome
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.manifest import Manifest


class HelmDouble(helmrelease.Helm):
    """helm without a cluster: a chart renders to its values as text."""

    releases: ClassVar[dict[str, dict[str, Any]]] = {}
    calls: ClassVar[list[str]] = []
    live: ClassVar[list[dict[str, Any]]] = []

    def run(self, *arguments: str, timeout: float = 120) -> str:
        self.calls.append(arguments[0])
        if arguments[0] == "uninstall":
            self.releases.pop(self.name, None)
        return ""

    def status(self) -> str:
        return str(self.releases.get(self.name, {}).get("status", ""))

    def manifest(self) -> str:
        return str(self.releases[self.name]["manifest"])

    def values(self) -> Any:
        return self.releases[self.name]["values"]

    def rendered(self, chart: Path, values: Path) -> str:
        return (chart / "templates/one.yaml").read_text() + values.read_text()

    def upgrade(self, chart: Path, values: Path, *more: str) -> str:
        self.calls.append("upgrade")
        made = {
            "status": "deployed",
            "manifest": self.rendered(chart, values),
            "values": json.loads(values.read_text()),
        }
        self.releases[self.name] = made
        return ""

    def objects(self, manifest: str) -> list[dict[str, Any]]:
        return self.live


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    folder = tmp_path / "chart"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("name: one\n")
    (folder / "templates/one.yaml").write_text("kind: One\n")
    return folder


class Site:
    def __init__(self, root: Path, chart: Path) -> None:
        self.root, self.chart = root, chart
        self.kubeconfig = root / "admin.conf"
        self.kubeconfig.write_text("")

    def call(self, values: dict[str, Any], *, check: bool = False, **more: Any) -> Call:
        params = {
            "name": "shop",
            "namespace": "space",
            "chart_b64": base64.b64encode(packed(self.chart)).decode(),
            "values_b64": base64.b64encode(json.dumps(values).encode()).decode(),
            "wait": False,
            "timeout": 10,
            "watch": True,
            "kubeconfig": str(self.kubeconfig),
            "server": "",
            "helm": "helm",
            "kubectl": "kubectl",
            **more,
        }
        return Call(Manifest.load("lbt", self.root / "labctl"), "helm_release/main", params, check)

    def present(self, **options: Any) -> Outcome:
        return helmrelease.present(self.call(options.pop("values", {"a": 1}), **options))


@pytest.fixture
def site(tmp_path: Path, chart: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(helmrelease, "Helm", HelmDouble)
    thing = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "space", "uid": "u"}}
    thing["metadata"]["resourceVersion"] = "5"  # type: ignore[index]
    monkeypatch.setattr(HelmDouble, "releases", {})
    monkeypatch.setattr(HelmDouble, "calls", [])
    monkeypatch.setattr(HelmDouble, "live", [thing])
    return Site(tmp_path, chart)


def told(outcome: Outcome) -> list[str]:
    return [str(change) for change in outcome.changes]


def test_it_upgrades_only_where_something_differs(site: Site) -> None:
    assert told(site.present(check=True)) == ["release shop: absent -> installed"]
    assert not HelmDouble.releases
    assert told(site.present()) == ["release shop: absent -> installed"]
    assert told(site.present()) == []
    assert HelmDouble.calls == ["upgrade"]
    predicted = told(site.present(values={"a": 2}, check=True))
    assert predicted == told(site.present(values={"a": 2}))
    assert predicted == ["release shop: deployed -> upgraded for other objects, other values"]
    HelmDouble.live[0]["metadata"]["resourceVersion"] = "6"
    assert told(site.present(values={"a": 2})) == [
        "release shop: deployed -> upgraded for objects that were changed since"
    ]
    assert told(site.present(values={"a": 2})) == []


def test_edits_are_mended_also_where_nobody_watches(site: Site) -> None:
    site.present(watch=False)
    HelmDouble.live[0]["metadata"]["resourceVersion"] = "6"
    assert told(site.present(watch=False)) == ["release shop: deployed -> upgraded for objects that were changed since"]
    (probe,) = Manifest.load("lbt", site.root / "labctl").records("helm_release/main", "probes").values()
    assert probe["argv"] == ["true"]


@pytest.mark.parametrize("status", ["pending-install", "pending-upgrade", "uninstalling", "failed"])
def test_what_a_killed_run_left_is_finished(site: Site, status: str) -> None:
    site.present()
    HelmDouble.releases["shop"]["status"] = status
    HelmDouble.calls.clear()
    assert told(site.present()) == [f"release shop: {status} -> installed"]
    assert HelmDouble.calls == (["upgrade"] if status == "failed" else ["uninstall", "upgrade"])


def test_another_name_takes_the_place_of_the_first_and_absent_leaves_nothing(site: Site) -> None:
    site.present()
    outcome = site.present(name="other")
    assert told(outcome) == ["release shop: deployed -> uninstalled", "release other: absent -> installed"]
    assert told(helmrelease.absent(site.call({}, check=True))) == ["release other: deployed -> uninstalled"]
    assert told(helmrelease.absent(site.call({}))) == ["release other: deployed -> uninstalled"]
    assert not HelmDouble.releases
    assert not list((site.root / "labctl").rglob("*.json"))
    assert told(helmrelease.absent(site.call({}))) == []


def test_a_chart_travels_without_links_times_and_owners(chart: Path, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("x")
    (chart / "link").symlink_to("../private")
    first = packed(chart)
    (chart / "Chart.yaml").touch()
    assert packed(chart) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        assert tar.getnames() == ["Chart.yaml", "templates/one.yaml"]
    with pytest.raises(InputError, match=r"no Chart\.yaml"):
        packed(tmp_path)


def test_a_chart_cannot_leave_its_folder(site: Site) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../../evil"), io.BytesIO())
    call = site.call({})
    call.params["chart_b64"] = base64.b64encode(out.getvalue()).decode()
    with pytest.raises(InputError, match="evil"):
        helmrelease.present(call)
