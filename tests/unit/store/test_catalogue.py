# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue: what it refuses, and what Hadoop's entry holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue, names, versions
from ansible_collections.labctl.stacks.plugins.module_utils.store.jars import read_lock
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.archive import ArchiveSource
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.maven import MavenSource

ENTRY = """\
name: thing
summary: a thing
licence: MIT
default: "1"
versions:
  "1":
    sources:
      - archive:
          files: {x86_64: {urls: ["https://example.org/thing.tar"], digest: DIGEST}}
          select: [{from: "a/**", to: lib}]
"""
SHA = "a" * 64


def written(folder: Path, text: str) -> Path:
    (folder / "thing.yml").write_text(text)
    return folder


def test_unknown_name_and_version_say_what_there_is(tmp_path: Path) -> None:
    written(tmp_path, ENTRY.replace("DIGEST", "unpinned"))
    with pytest.raises(InputError, match="no artefact 'thign'") as unknown:
        catalogue("thign", folders=(tmp_path,))
    assert "Did you mean 'thing'?" in unknown.value.hint
    with pytest.raises(InputError, match="no version of thing '2'") as version:
        catalogue("thing", "2", folders=(tmp_path,))
    assert "There is: 1." in version.value.hint


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("digest: DIGEST", "digset: DIGEST", "unknown key 'digset'"),
        ("DIGEST", "sha512:1234", "digest must be"),
        ("DIGEST", "md5:" + "a" * 32, "digest must be"),
        ("https://", "http://", "not an https URL"),
        ('default: "1"\n', "", "lacks default"),
        ("- archive:", "- ftp:", "a source is a mapping with one key"),
        ("name: thing", "name: [", "not readable"),
        ("name: thing", "name: another", "name must be that of the file"),
        ("licence: MIT\n", "", "lacks licence"),
        ("licence: MIT", "licence: 2", "licence must be a string"),
        ('default: "1"', 'default: "2"', "default '2' is not one of the versions"),
        ('default: "1"', "default: 1", "default must be a string; put a number into quotes"),
        ('  "1":', "  1:", "keys are strings"),
        ("    sources:", "    provides: [x]\n    sources:", "provides must be a mapping of strings"),
        ("    sources:", "    provide: {}\n    sources:", "unknown key 'provide'"),
        ("x86_64:", "amd64:", "unknown key 'amd64'"),
        ("select:", "selects:", "unknown key 'selects'"),
        ("to: lib", "two: lib", "unknown key 'two'"),
        ('["https://example.org/thing.tar"]', '"https://example.org/thing.tar"', "must be a list of strings"),
    ],
)
def test_entry_that_breaks_the_format_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    text = ENTRY.replace(old, new).replace("DIGEST", "unpinned")
    with pytest.raises(InputError, match=says):
        catalogue("thing", folders=(written(tmp_path, text),))


def test_another_architecture_has_no_archive(tmp_path: Path) -> None:
    folder = written(tmp_path, ENTRY.replace("DIGEST", f"sha256:{SHA}"))
    for arch, urls in (("x86_64", ("https://example.org/thing.tar",)), ("riscv64", ())):
        (source,) = catalogue("thing", folders=(folder,), arch=arch).sources
        assert isinstance(source, ArchiveSource)
        assert source.urls == urls


def test_the_first_folder_that_has_the_version_counts(tmp_path: Path) -> None:
    own, shared = tmp_path / "own", tmp_path / "shared"
    text = ENTRY.replace("DIGEST", "unpinned")
    for folder, versions_ in ((own, "2"), (shared, "1")):
        folder.mkdir()
        written(folder, text.replace('"1"', f'"{versions_}"'))
    both = (own, shared)
    assert versions("thing", both) == ["2", "1"]
    assert [catalogue("thing", version, folders=both).sources[0].where.file.parent for version in (None, "1")] == [
        own,
        shared,
    ]
    assert names((tmp_path / "none", shared)) == ["thing"]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (f"{SHA} a:b:1", "x.lock:1: not"),
        (f"{SHA[:-1]} a:b:1 10", "x.lock:1: not"),
        (f"# fine\n\n{SHA} a:b 10", "x.lock:3: not"),
        (f"{SHA} a:b:1 10\n{SHA} a:b:2 10", "a:b:2 and a:b:1 cannot both"),
        (f"{SHA} a:b:1 10\n{SHA} c:b:1 10", "c:b:1 and a:b:1 cannot both"),
    ],
)
def test_lock_line_of_another_form_or_a_second_version_is_refused(tmp_path: Path, lines: str, says: str) -> None:
    lock = tmp_path / "x.lock"
    lock.write_text(lines)
    with pytest.raises(InputError, match=says):
        read_lock(lock)


def test_classifiers_stand_beside_the_jar_they_belong_to(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    lock.write_text(f"{SHA} a:b:1 10\n{SHA} a:b:1:linux-x86_64 10\n")
    assert [jar.filename for jar in read_lock(lock)] == ["b-1.jar", "b-1-linux-x86_64.jar"]


def test_hadoop_holds_all_its_roots_and_what_its_daemons_look_for() -> None:
    source = next(item for item in catalogue("hadoop").sources if isinstance(item, MavenSource))
    locked = {f"{jar.group}:{jar.artifact}:{jar.version}" for jar in source.jars}
    assert {*source.roots, *source.single} <= locked
    paths = {entry.path for entry in source.entries()}
    assert {f"webapps/{name}/WEB-INF/web.xml" for name in ("hdfs", "datanode", "secondary", "journal")} <= paths
    assert {"webapps/hdfs/index.html", "webapps/datanode/index.html", "webapps/static/overview.js"} <= paths
    assert [path for path in paths if "mapreduce-examples" in path] == ["examples/hadoop-mapreduce-examples-3.4.2.jar"]
    assert {path for path in paths if "slf4j-reload4j" in path or "/reload4j" in path}


def test_hadoop_of_the_archive_has_the_layout_of_the_jars() -> None:
    source = next(item for item in catalogue("hadoop", arch="x86_64").sources if isinstance(item, ArchiveSource))
    top = "hadoop-3.5.0/share/hadoop"
    assert {path: source.select.path_of(f"{top}/{path}") for path in WHERE} == WHERE


WHERE = {
    "common/hadoop-common-3.5.0.jar": "lib/hadoop-common-3.5.0.jar",
    "common/hadoop-common-3.5.0-tests.jar": "",
    "common/lib/re2j-1.1.jar": "lib/re2j-1.1.jar",
    "common/sources/hadoop-common-3.5.0-sources.jar": "",
    "hdfs/webapps/hdfs/index.html": "webapps/hdfs/index.html",
    "hdfs/webapps/static/a/b.css": "webapps/static/a/b.css",
    "yarn/csi/lib/grpc-core-1.0.jar": "",
    "mapreduce/hadoop-mapreduce-examples-3.5.0.jar": "examples/hadoop-mapreduce-examples-3.5.0.jar",
    "mapreduce/hadoop-mapreduce-client-app-3.5.0.jar": "lib/hadoop-mapreduce-client-app-3.5.0.jar",
    "tools/lib/aws-sdk-bundle-2.jar": "",
}


def test_hadoop_for_aarch64_is_not_pinned() -> None:
    source = next(item for item in catalogue("hadoop", arch="aarch64").sources if isinstance(item, ArchiveSource))
    assert source.digest == "unpinned"


@pytest.mark.parametrize("name", names())
def test_every_entry_of_the_catalogue_is_as_it_should_be(name: str) -> None:
    for version in versions(name):
        for arch in ("x86_64", "aarch64"):
            entry = catalogue(name, version, arch=arch)
            assert entry.licence
            for source in entry.sources:
                known = {item.path for item in source.entries() or ()}
                for what, path in entry.provides.items():
                    assert not known or any(one == path or one.startswith(f"{path}/") for one in known), what
