# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images an archive holds and containerd lacks."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils import container_images
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError

LISTING = """\
REF                           TYPE                                       DIGEST     SIZE      PLATFORMS   LABELS
localhost/labctl/pause:3.10.2 application/vnd.oci.image.manifest.v1+json sha256:aa  1.4 MiB   linux/amd64 io.cri-containerd.pinned=pinned
localhost/labctl/etcd:3.7.0-0 application/vnd.oci.image.manifest.v1+json sha256:old 57.0 MiB  linux/amd64 -
"""  # noqa: E501


def archive(path: Path, name: str, digest: str) -> str:
    annotations = {container_images.NAME: name}
    text = json.dumps({"manifests": [{"annotations": annotations, "digest": digest}]}).encode()
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("index.json")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return str(path)


def call(archives: list[str], recorded: list[Any], *, check: bool = False) -> Any:
    return SimpleNamespace(params={"archives": archives}, check=check, record=recorded.append, key="k")


def test_only_what_is_missing_or_other_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(container_images, "command", lambda argv, **_: ran.append(argv) or LISTING)
    archives = [
        archive(tmp_path / "pause.tar", "localhost/labctl/pause:3.10.2", "sha256:aa"),
        archive(tmp_path / "etcd.tar", "localhost/labctl/etcd:3.7.0-0", "sha256:new"),
        archive(tmp_path / "web.tar", "localhost/labctl/web:1", "sha256:bb"),
    ]
    recorded: list[Any] = []
    outcome = container_images.present(call(archives, recorded))
    assert outcome.values["imported"] == ["localhost/labctl/etcd:3.7.0-0", "localhost/labctl/web:1"]
    assert sorted(str(change) for change in outcome.changes) == [
        "image localhost/labctl/etcd:3.7.0-0: sha256:old -> sha256:new",
        "image localhost/labctl/web:1: absent -> sha256:bb",
    ]
    assert not any("pause" in word for argv in ran for word in argv if "import" in argv)
    names = "localhost/labctl/etcd:3.7.0-0\nlocalhost/labctl/pause:3.10.2\nlocalhost/labctl/web:1"
    assert recorded[0]["probes"][0]["stdout"] == names


def test_check_mode_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(container_images, "command", lambda argv, **_: ran.append(argv) or LISTING)
    one = archive(tmp_path / "web.tar", "localhost/labctl/web:1", "sha256:bb")
    recorded: list[Any] = []
    assert container_images.present(call([one], recorded, check=True)).changes
    assert [argv[-2:] for argv in ran] == [["images", "ls"]]
    assert recorded == []


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "image.tar"
    wrong.write_text("not a tar")
    with pytest.raises(InputError, match=r"image\.tar is not an archive"):
        container_images.image_in(str(wrong))


def test_an_image_goes_under_all_of_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    row = "sha256:c0 application/vnd.oci.image.manifest.v1+json sha256:aa 1 MiB linux/amd64 -\n"
    ran: list[list[str]] = []
    monkeypatch.setattr(container_images, "command", lambda argv, **_: ran.append(argv) or LISTING + row)
    here = call([], [])
    probe = {"name": "container images", "stdout": "localhost/labctl/pause:3.10.2\nlocalhost/labctl/gone:1"}
    here.manifest = SimpleNamespace(records=lambda key, kind: {"container images": probe})
    outcome = container_images.absent(here)
    assert ran[-1][-3:] == ["--sync", "localhost/labctl/pause:3.10.2", "sha256:c0"]
    assert len(outcome.changes) == 2
