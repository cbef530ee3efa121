# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Container images as one file: the same bytes each time, whole by the formats' rules, made of other artefacts."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import sys
import tarfile
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store import deblayer, oci
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import Artifact, catalogue
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store
from unit.store.doubles import QUICK, Mirror, member, sends, sha512, tar

RELEASE = tar(member("bin/tool", b"\x7fELF tool", mode=0o755), member("doc/README", b"read me"))
THING = """\
name: thing
summary: a thing
licence: MIT
default: "1.0"
versions:
  "1.0":
    sources:
      - archive:
          files: {any: {urls: ["URL"], digest: "DIGEST"}}
          select: [{from: "**", to: "."}]
"""
IMAGE = """\
name: image-thing
summary: an image of the thing
licence: MIT
default: "1.0"
versions:
  "1.0":
    sources:
      - image:
          repository: localhost/labctl/thing
          tag: v1.0
          from: [{artifact: thing, version: "1.0", files: {bin/tool: usr/bin/tool}}]
          entrypoint: [/usr/bin/tool]
          env: [A=b]
          user: "65534"
          labels: {note: here}
"""


def deb(folder: Path, name: str, *files: tuple[tarfile.TarInfo, bytes]) -> Path:
    """A Debian package as deb(5) says, with these files."""
    parts = [("debian-binary", b"2.0\n"), ("control.tar.xz", lzma.compress(tar(compressed=False)))]
    parts.append(("data.tar.xz", lzma.compress(tar(*files, compressed=False))))
    out = b"!<arch>\n"
    for part, content in parts:
        out += f"{part:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        out += content + b"\n" * (len(content) % 2)
    path = folder / f"{name}_1_amd64.deb"
    path.write_bytes(out)
    return path


@pytest.fixture
def entries(tmp_path: Path, mirror: Mirror) -> Path:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    url = mirror.url("/thing.tar.gz", sends(RELEASE)).replace("http://", "https://")
    (folder / "thing.yml").write_text(THING.replace("URL", url).replace("DIGEST", sha512(RELEASE)))
    (folder / "image-thing.yml").write_text(IMAGE)
    return folder


def read(folder: Path, text: str = IMAGE) -> Artifact:
    (folder / "image-thing.yml").write_text(text)
    return catalogue("image-thing", folders=(folder,), arch="x86_64")


def has_thing(store: Store, folder: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store whose catalogue is ``folder``; its https URLs go to the mirror, which speaks http."""
    download = "ansible_collections.labctl.stacks.plugins.module_utils.store.sources.base.download"
    from ansible_collections.labctl.stacks.plugins.module_utils.store import download as module

    monkeypatch.setattr(
        download, lambda url, *rest, **options: module.download(url.replace("https:", "http:"), *rest, **options)
    )
    return Store(store.root, rules=QUICK, folders=(folder,))


def unpacked(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as image:
        return {one.name: image.extractfile(one).read() for one in image if one.isreg()}  # type: ignore[union-attr]


def part(files: dict[str, bytes], descriptor: dict[str, object]) -> bytes:
    """A part of a layout by its descriptor, whose digest and size are checked."""
    algorithm, _, digest = str(descriptor["digest"]).partition(":")
    content = files[f"blobs/{algorithm}/{digest}"]
    assert hashlib.sha256(content).hexdigest() == digest and len(content) == descriptor["size"]
    return content


def test_archive_is_an_image_layout_and_what_docker_loads(
    store: Store, entries: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = has_thing(store, entries, mirror, monkeypatch).resolve(read(entries))
    assert [one.path for one in found.entries] == ["image.tar"]
    files = unpacked(found.path / "image.tar")
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (listed,) = json.loads(files["index.json"])["manifests"]
    assert listed["annotations"] == {
        "io.containerd.image.name": "localhost/labctl/thing:v1.0",
        "org.opencontainers.image.ref.name": "localhost/labctl/thing:v1.0",
    }
    assert listed["platform"] == {"architecture": "amd64", "os": "linux"}
    manifest = json.loads(part(files, listed))
    config = json.loads(part(files, manifest["config"]))
    (layer,) = manifest["layers"]
    content = part(files, layer)
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    assert config["config"] == {
        "Entrypoint": ["/usr/bin/tool"],
        "Env": ["A=b"],
        "Labels": {
            "note": "here",
            "org.opencontainers.image.licenses": "MIT",
            "org.opencontainers.image.title": "image-thing",
            "org.opencontainers.image.vendor": "labctl",
            "org.opencontainers.image.version": "1.0",
        },
        "User": "65534",
        "WorkingDir": "/",
    }
    (loaded,) = json.loads(files["manifest.json"])
    assert loaded["RepoTags"] == ["localhost/labctl/thing:v1.0"]
    assert files[loaded["Config"]] == part(files, manifest["config"])
    assert [files[path] for path in loaded["Layers"]] == [content]
    with tarfile.open(fileobj=io.BytesIO(content)) as root:
        seen = {one.name: (one.mode, one.uid, one.mtime, one.type) for one in root}
    assert seen["usr/bin/tool"] == (0o755, 0, 0, tarfile.REGTYPE)
    assert seen["tmp"] == (0o1777, 0, 0, tarfile.DIRTYPE)
    assert list(seen) == sorted(seen)
    assert "doc/README" not in seen


def test_the_same_image_twice_has_the_same_bytes(
    store: Store, entries: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = has_thing(store, entries, mirror, monkeypatch).resolve(read(entries))
    os.utime(first.path / "image.tar", (1, 1))
    other = Store(tmp_path / "elsewhere" / "store", rules=QUICK, folders=(entries,))
    assert other.resolve(read(entries)).digest == first.digest
    assert other.resolve(read(entries)).source == "store"


def test_what_it_is_made_of_is_fetched_and_a_missing_file_named(
    store: Store, entries: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = has_thing(store, entries, mirror, monkeypatch)
    with pytest.raises(PreflightError) as failure:
        served.resolve(read(entries, IMAGE.replace("bin/tool:", "bin/gone:")))
    assert failure.value.findings[0].what == "thing 1.0 has no bin/gone"
    mirror.routes.clear()
    parts = read(entries).sources[0].inputs()
    assert [one["name"] for one in parts] == ["thing", "thing"]
    assert parts[1]["digest"] == sha512(RELEASE)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("localhost/labctl/thing", "registry.k8s.io/thing", "is not localhost/labctl/"),
        ("tag: v1.0", "tag: 'a b'", "is not localhost/labctl/"),
        ("tag: v1.0", "tag: v1.0\n          pull: {}", "either from or pull"),
        ("from: [{a", "from: {a", "not readable"),
        ("entrypoint: [/usr/bin/tool]", "entrypoint: /usr/bin/tool", "image.entrypoint must be a list"),
        ('version: "1.0", files', "files", "lacks version"),
        ("user:", "uesr:", "unknown key 'uesr'"),
    ],
)
def test_entry_is_read_strictly(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in IMAGE
    with pytest.raises(InputError, match=says):
        read(tmp_path, IMAGE.replace(old, new))


PULL = IMAGE[: IMAGE.index("          from:")] + "          pull: {reference: 'example.org/thing:1', digest: DIGEST}\n"
CRANE = """\
#!{python}
import pathlib, shutil, sys
(pathlib.Path({folder!r}) / "argv").write_text(" ".join(sys.argv[1:-1]))
shutil.copytree(pathlib.Path({folder!r}) / "layout", sys.argv[-1])
"""


@pytest.fixture
def crane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A double of crane; ``layout`` is what it brings, ``argv`` what it was told."""
    folder = tmp_path / "crane"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "crane").write_text(CRANE.format(python=sys.executable, folder=str(folder)))
    (folder / "bin" / "crane").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    layer = oci.Layer()
    layer.file("hello", b"hello")
    layer.write(tmp_path / "layer.tar")
    image = oci.assemble([tmp_path / "layer.tar"], oci.Settings(cmd=("/hello",)), "x86_64")
    with (tmp_path / "image.tar").open("wb") as out:
        oci.write_archive(out, "example.org/thing:1", "x86_64", image)
    with tarfile.open(tmp_path / "image.tar") as archive:
        archive.extractall(folder / "layout", filter="data")
    return folder


def test_image_is_pulled_by_digest_and_named_ours(store: Store, tmp_path: Path, crane: Path) -> None:
    digest = f"sha256:{'a' * 64}"
    found = store.resolve(read(tmp_path, PULL.replace("DIGEST", digest)))
    assert (crane / "argv").read_text() == f"pull --platform=linux/amd64 --format=oci example.org/thing@{digest}"
    files = unpacked(found.path / "image.tar")
    assert json.loads(files["manifest.json"])[0]["RepoTags"] == ["localhost/labctl/thing:v1.0"]


def test_unpinned_image_is_refused(store: Store, tmp_path: Path, crane: Path) -> None:
    with pytest.raises(PreflightError) as failure:
        store.resolve(read(tmp_path, PULL.replace("DIGEST", "unpinned")))
    assert "unpinned" in failure.value.findings[0].what
    assert not (crane / "argv").exists()


def test_pulled_part_with_other_bytes_is_refused(store: Store, tmp_path: Path, crane: Path) -> None:
    for path in (crane / "layout" / "blobs" / "sha256").iterdir():
        if path.stat().st_size > 5000:
            path.write_bytes(path.read_bytes().replace(b"hello", b"hullo"))
    with pytest.raises(PreflightError) as failure:
        store.resolve(read(tmp_path, PULL.replace("DIGEST", f"sha256:{'a' * 64}")))
    assert failure.value.findings[0].what.startswith("crane brought a part that is not sha256:")


PACKAGES = """\
Package: tool
Version: 1
Depends: libtool1 (>= 1), awk | gawk
Filename: ./tool_1_amd64.deb

Package: libtool1
Version: 1
Pre-Depends: libc
Filename: ./libtool1_1_amd64.deb

Package: libc6
Version: 2
Provides: libc (= 2), other
Filename: ./libc6_2_amd64.deb

Package: mawk
Provides: awk
Filename: ./mawk_1_amd64.deb

Package: unneeded
Filename: ./unneeded_1_amd64.deb
"""


def test_packages_come_with_all_they_depend_on_and_no_more() -> None:
    assert deblayer.closure(PACKAGES, ["tool"]) == [
        "libc6_2_amd64.deb", "libtool1_1_amd64.deb", "mawk_1_amd64.deb", "tool_1_amd64.deb"
    ]  # fmt: skip
    with pytest.raises(PreflightError, match="tool needs libtool1"):
        deblayer.closure(PACKAGES.replace("Package: libtool1", "Package: libtool2"), ["tool"])


def test_packages_become_a_layer_without_documents_and_privileges(tmp_path: Path) -> None:
    package = deb(
        tmp_path,
        "tool",
        member("./", type=tarfile.DIRTYPE, mode=0o755),
        member("./bin/tool", b"tool", mode=0o4755),
        member("./lib64/ld.so", type=tarfile.SYMTYPE, linkname="../lib/ld.so"),
        member("./usr/bin/hard", type=tarfile.LNKTYPE, linkname="./bin/tool"),
        member("./usr/share/doc/tool/README", b"read me"),
        member("./usr/lib/x86_64-linux-gnu/gconv/BIG5.so", b"big"),
    )
    layer = oci.Layer()
    (tmp_path / "work").mkdir()
    deblayer.unpack([package], layer, tmp_path / "work")
    layer.write(tmp_path / "layer.tar")
    with tarfile.open(tmp_path / "layer.tar") as found:
        seen = {one.name: (one.mode, one.linkname) for one in found}
        assert found.extractfile("usr/bin/hard").read() == b"tool"  # type: ignore[union-attr]
    assert seen["usr/bin/tool"] == (0o755, "")
    assert seen["usr/lib64/ld.so"][1] == "../lib/ld.so"
    assert {name: seen[name][1] for name in ("bin", "lib64")} == {"bin": "usr/bin", "lib64": "usr/lib64"}
    assert not [name for name in seen if "doc" in name or "gconv" in name]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([member("dev/null", type=tarfile.CHRTYPE)], "is a device"),
        ([member("../etc/passwd", b"x")], "unsafe path"),
        ([member("usr/bin/a", type=tarfile.LNKTYPE, linkname="usr/bin/gone")], "link to usr/bin/gone"),
        ([member("usr/a", type=tarfile.SYMTYPE, linkname="/etc"), member("usr/a/passwd", b"x")], "is not a folder"),
    ],
)
def test_hostile_packages_are_refused(tmp_path: Path, files: list[tuple[tarfile.TarInfo, bytes]], says: str) -> None:
    package = deb(tmp_path, "bad", *files)
    (tmp_path / "work").mkdir()
    with pytest.raises(PreflightError, match=says):
        deblayer.unpack([package], oci.Layer(), tmp_path / "work")


@pytest.mark.parametrize("content", [b"", b"!<arch>\nnonsense", b"<html>", b"!<arch>\n"])
def test_what_is_no_package_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad_1_amd64.deb"
    path.write_bytes(content)
    (tmp_path / "work").mkdir()
    with pytest.raises(PreflightError, match=r"bad_1_amd64\.deb is not a whole Debian package"):
        deblayer.unpack([path], oci.Layer(), tmp_path / "work")


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("localhost/labctl/pause:3.10.2", "localhost/labctl/pause:3.10.2"),
        ("labctl/pause:1", "docker.io/labctl/pause:1"),
        ("pause:1", "docker.io/library/pause:1"),
        ("example.org/a/b:1", "example.org/a/b:1"),
    ],
)
def test_full_reference_is_containerds(short: str, full: str) -> None:
    assert oci.full_reference(short) == full


def test_without_crane_the_error_says_that_it_would_be_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    entry = read(tmp_path, PULL.replace("DIGEST", f"sha256:{'a' * 64}"))
    with pytest.raises(PreflightError) as failure:
        Store(tmp_path / "store", rules=QUICK, folders=(tmp_path,)).resolve(entry)
    assert failure.value.findings[0].what == (
        "crane is not installed, and this image would be pulled by it; no artefact 'crane' in the catalogue"
    )
