# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs from Go modules, with a double of go on PATH: what it is told, what is refused, what is kept."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store import gotool
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import Artifact, catalogue
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.golang import GoSource, program_name
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store

GO = """\
#!{python}
import json, os, pathlib, sys, time
folder = pathlib.Path({folder!r})
verb = sys.argv[1]
with open(folder / "calls", "a") as log:
    log.write(json.dumps({{"argv": sys.argv[1:], "env": dict(os.environ), "files": sorted(
        path.relative_to(".").as_posix() for path in pathlib.Path(".").rglob("*") if path.is_file()
    ) if verb == "build" else []}}) + "\\n")
if verb == "env" and "-json" in sys.argv:
    print(json.dumps({{name: os.environ.get(name, "") for name in sys.argv[3:]}}))
elif verb == "env":
    print((folder / "version").read_text())
elif verb == "list":
    print("fmt\\nexample.org/thing/cmd/tool")
elif verb == "build":
    if (folder / "hang").exists():
        (folder / "pid").write_text(str(os.getpid()))
        time.sleep(60)
    if (folder / "error").exists():
        sys.exit((folder / "error").read_text())
    print("example.org/thing/cmd/tool", file=sys.stderr)
    out = pathlib.Path(sys.argv[sys.argv.index("-o") + 1])
    (out / "tool").write_bytes((folder / "program").read_bytes())
"""
PROGRAM = b"\x7fELF a program"
ENTRY = """\
name: thing
summary: a thing
licence: MIT
default: "1.0"
versions:
  "1.0":
    sources:
      - go:
          toolchain: go1.26.8
          lock: thing/1.0
          require: {example.org/thing: v1.0.0}
          packages: {bin/thing: example.org/thing/cmd/tool}
          tags: [small, static]
          ldflags: -s -w
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The double's folder: ``program`` is what it builds, ``version`` its own, ``calls`` what it was told."""
    folder = tmp_path / "go"
    folder.mkdir()
    (folder / "bin").mkdir()
    (folder / "version").write_text("go1.26.8")
    (folder / "program").write_bytes(PROGRAM)
    (folder / "bin" / "go").write_text(GO.format(python=sys.executable, folder=str(folder)))
    (folder / "bin" / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    """A catalogue of one entry, locked."""
    folder = tmp_path / "artifacts"
    (folder / "thing" / "1.0").mkdir(parents=True)
    (folder / "thing.yml").write_text(ENTRY)
    (folder / "thing" / "1.0" / "go.mod").write_text("module labctl/thing\n\nrequire example.org/thing v1.0.0\n")
    (folder / "thing" / "1.0" / "go.sum").write_text("example.org/thing v1.0.0 h1:abc=\n")
    pin(folder, PROGRAM)
    return folder


def pin(folder: Path, content: bytes, arch: str = "x86_64") -> None:
    line = f"{arch} {hashlib.sha256(content).hexdigest()} {len(content)} 0555 bin/thing\n"
    (folder / "thing" / "1.0" / "outputs").write_text(line)


def read(folder: Path, text: str = ENTRY) -> Artifact:
    (folder / "thing.yml").write_text(text)
    return catalogue("thing", folders=(folder,), arch="x86_64")


def calls(go: Path, verb: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in (go / "calls").read_text().splitlines()]
    return [call for call in found if call["argv"][0] == verb]


def test_build_is_told_all_that_decides_the_bytes(
    store: Store, go: Path, entry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "GOFLAGS": "-mod=mod -race",
        "GOAMD64": "v3",
        "GOEXPERIMENT": "loopvar",
        "GOOS": "plan9",
        "CGO_ENABLED": "1",
        "CGO_CFLAGS": "-O0",
        "GOTOOLCHAIN": "local",
        "GOPROXY": "https://proxy.example.org",
        "https_proxy": "http://127.0.0.1:3128",
        "AWS_SECRET_ACCESS_KEY": "canary",
    }.items():
        monkeypatch.setenv(name, value)
    found = store.resolve(read(entry))
    (call,) = calls(go, "build")
    argv, env = call["argv"], call["env"]
    assert isinstance(argv, list) and isinstance(env, dict)
    out = argv[argv.index("-o") + 1]
    jobs = gotool.jobs()
    assert argv == [
        *("build", "-v", f"-p={jobs}", "-trimpath", "-buildvcs=false", "-mod=readonly", "-tags=small,static"),
        *("-ldflags=-s -w", "-o", out, "example.org/thing/cmd/tool"),
    ]
    wanted = {
        "GOTOOLCHAIN": "go1.26.8", "GOFLAGS": "-modcacherw", "GOENV": "off", "GOAMD64": "v1", "CGO_ENABLED": "0",
        "GOOS": "linux", "GOARCH": "amd64", "GOWORK": "off", "GOEXPERIMENT": "", "GOPROXY": "https://proxy.example.org",
        "https_proxy": "http://127.0.0.1:3128", "GOCACHE": str(store.root.parent / "go" / "build"),
    }  # fmt: skip
    assert {name: env.get(name) for name in wanted} == wanted
    assert not {"CGO_CFLAGS", "AWS_SECRET_ACCESS_KEY"} & env.keys()
    assert call["files"] == ["go.mod", "go.sum"]
    assert [(one.path, one.mode) for one in found.entries] == [("bin/thing", 0o555)]
    assert (found.path / "bin/thing").read_bytes() == PROGRAM


def test_built_once(store: Store, go: Path, entry: Path) -> None:
    assert store.resolve(read(entry)).source == "go"
    assert store.resolve(read(entry)).source == "store"
    assert len(calls(go, "build")) == 1


def test_other_bytes_than_pinned_are_refused_and_not_kept(store: Store, go: Path, entry: Path) -> None:
    (go / "program").write_bytes(b"something else")
    with pytest.raises(PreflightError) as failure:
        store.resolve(read(entry))
    wanted, found = (hashlib.sha256(content).hexdigest() for content in (PROGRAM, b"something else"))
    assert failure.value.findings[0].what == f"bin/thing came out as sha256 {found} instead of {wanted}"
    assert not [path for path in (store.root / "blobs").rglob("*") if path.is_file()]


def test_without_pinned_outputs_the_record_keeps_what_came(store: Store, go: Path, entry: Path) -> None:
    text = ENTRY.replace("ldflags: -s -w", "ldflags: -s -w\n          cgo: true\n          debian: [gcc]")
    assert store.expected(read(entry, text)) == ()
    assert store.resolve(read(entry, text)).source == "go"
    (call,) = calls(go, "build")
    assert isinstance(call["env"], dict) and call["env"]["CGO_ENABLED"] == "1"
    assert store.resolve(read(entry, text)).source == "store"


def test_compilers_first_errors_are_the_message(store: Store, go: Path, entry: Path) -> None:
    (go / "error").write_text("# example.org/thing\nthing.go:3:2: undefined: one\nthing.go:9:1: undefined: two\n")
    with pytest.raises(PreflightError) as failure:
        store.resolve(read(entry))
    assert failure.value.findings[0].what == (
        "go build failed: thing.go:3:2: undefined: one; thing.go:9:1: undefined: two"
    )


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("go: example.org/thing@v1.0.0: missing go.sum entry for go.mod file", "relock"),
        ("verifying example.org/thing@v1.0.0: checksum mismatch", "Do not use them"),
        ('Get "https://proxy.example.org": dial tcp: i/o timeout', "GOPROXY"),
        ("write /x: no space left on device", "LABCTL_CACHE_DIR"),
    ],
)
def test_hint_fits_the_error(store: Store, go: Path, entry: Path, said: str, hint: str) -> None:
    (go / "error").write_text(said)
    with pytest.raises(PreflightError) as failure:
        store.resolve(read(entry))
    assert said in failure.value.findings[0].what
    assert hint in failure.value.findings[0].mend


def test_go_is_missing(store: Store, entry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PreflightError) as failure:
        store.resolve(read(entry))
    assert failure.value.findings[0].what.startswith("go is not installed")
    assert "apt install golang" in failure.value.findings[0].mend


def test_go_that_cannot_bring_the_pinned_toolchain_is_refused(store: Store, go: Path, entry: Path) -> None:
    (go / "version").write_text("go1.19.8")
    with pytest.raises(PreflightError) as failure:
        store.resolve(read(entry))
    assert failure.value.findings[0].what == "go works as go1.19.8, not as the pinned go1.26.8"


def test_a_build_that_does_nothing_is_ended(
    store: Store, go: Path, entry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gotool, "STALL", 0.5)
    (go / "hang").touch()
    with pytest.raises(PreflightError, match="none of its sources"):
        store.resolve(read(entry))
    assert not alive(int((go / "pid").read_text()))


def test_interrupt_leaves_no_compiler(store: Store, go: Path, entry: Path) -> None:
    (go / "hang").touch()

    def interrupt(text: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    found: list[BaseException] = []

    def resolve() -> None:
        try:
            store.resolve(read(entry), lambda *_: interrupt("", 0, 0) if (go / "pid").exists() else None)
        except BaseException as exc:
            found.append(exc)

    # The double prints nothing, so it is made to by a file that grows under the watch.
    thread = threading.Thread(target=resolve, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not (go / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    with (store.root / "tmp" / read(entry).id / "go" / "module.log").open("a") as log:
        log.write("example.org/thing\n")
    thread.join(10)
    assert isinstance(found[0], KeyboardInterrupt)
    assert not alive(int((go / "pid").read_text()))


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("toolchain: go1.26.8", "toolchain: latest", "go.toolchain must be like"),
        ("lock: thing/1.0\n          ", "", "lacks lock"),
        ("ldflags", "ldflag", "unknown key 'ldflag'"),
        ("bin/thing: example", "../thing: example", "unsafe path"),
        ("tags: [small, static]", "tags: small", "go.tags must be a list of strings"),
        ("ldflags: -s -w", "cgo: 'yes'", "go.cgo must be true or false"),
        ("{bin/thing: e", "{bin/tool: other.org/x/tool, bin/thing: e", "two that go gives the same name"),
    ],
)
def test_entry_is_read_strictly(entry: Path, old: str, new: str, says: str) -> None:
    assert old in ENTRY
    with pytest.raises((InputError, PreflightError), match=says):
        read(entry, ENTRY.replace(old, new))


def test_outputs_are_pinned_for_each_architecture(entry: Path) -> None:
    assert read(entry).sources[0].entries() is not None
    assert catalogue("thing", folders=(entry,), arch="aarch64").sources[0].entries() is None
    outputs = entry / "thing" / "1.0" / "outputs"
    outputs.write_text("x86_64 nonsense\n")
    with pytest.raises(InputError, match=r"outputs:1: not `<architecture>"):
        read(entry).sources[0].entries()
    outputs.write_text(f"x86_64 {'a' * 64} 3 0555 bin/other\n")
    with pytest.raises(InputError, match="lacks bin/thing"):
        read(entry).sources[0].entries()


def test_key_changes_with_whatever_decides_the_content(entry: Path) -> None:
    source = read(entry).sources[0]
    assert isinstance(source, GoSource)
    keys = {source.key, replace(source, tags=("other",)).key, replace(source, toolchain="go1.27.1").key}
    keys.add(replace(source, where=replace(source.where, arch="aarch64")).key)
    (entry / "thing" / "1.0" / "go.sum").write_text("example.org/thing v1.0.0 h1:def=\n")
    keys.add(read(entry).sources[0].key)
    assert len(keys) == 5


def test_parts_are_the_modules_and_the_toolchain(entry: Path) -> None:
    parts = read(entry).sources[0].inputs()
    assert [(part["name"], part["version"], part["digest"]) for part in parts] == [
        ("toolchain", "go1.26.8", ""),
        ("example.org/thing", "v1.0.0", "h1:abc="),
    ]
    assert parts[1]["purl"] == "pkg:golang/example.org/thing@v1.0.0"


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("k8s.io/kubernetes/cmd/kubeadm", "kubeadm"),
        ("go.etcd.io/etcd/server/v3", "server"),
        ("helm.sh/helm/v4/cmd/helm", "helm"),
        ("labctl/pause", "pause"),
    ],
)
def test_program_names_are_those_go_gives(package: str, name: str) -> None:
    assert program_name(package) == name


def test_as_many_compilers_as_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr(gotool, "memory_available", lambda: 6 << 30)
    assert gotool.jobs() == 4
    monkeypatch.setattr(gotool, "memory_available", lambda: 1 << 20)
    assert gotool.jobs() == 1
