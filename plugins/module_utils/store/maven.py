# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: jars through the ordinary ``mvn``, so that its settings, mirrors and proxies hold.

The pom that is generated names every jar and no transitive dependency, and is worked on in a repository of its own:
what a user's ``~/.m2`` holds is neither trusted nor touched.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from xml.sax.saxutils import escape

from ..errors import PreflightError
from . import process
from .jars import Jar

#: Told how many bytes are there, and of how many.
Bytes = Callable[[int, int], None]

#: Seconds after which an ``mvn`` that brings nothing is taken for stuck.
STALL = 180.0

# Both generations of Maven's transports, so that a silent server does not hang a run for half an hour.
_TRANSPORT = (
    "-Dmaven.wagon.http.retryHandler.count=3",
    "-Dmaven.wagon.rto=60000",
    "-Daether.connector.connectTimeout=15000",
    "-Daether.connector.requestTimeout=60000",
)


def pom(dependencies: Iterable[Jar], *, alone: bool) -> str:
    """A pom that depends on these jars, ``alone`` without what they depend on in turn."""
    lines = [
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>',
        "<groupId>labctl</groupId><artifactId>artifact</artifactId><version>1</version><packaging>pom</packaging>",
        "<dependencies>",
    ]
    for jar in dependencies:
        fields = {
            "groupId": jar.group,
            "artifactId": jar.artifact,
            "version": jar.version,
            "classifier": jar.classifier,
            "type": "" if jar.extension == "jar" else jar.extension,
        }
        lines.append("<dependency>")
        lines.extend(f"<{key}>{escape(value)}</{key}>" for key, value in fields.items() if value)
        if alone:
            everything = "<exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion>"
            lines.append(f"<exclusions>{everything}</exclusions>")
        lines.append("</dependency>")
    return "\n".join([*lines, "</dependencies>", "</project>", ""])


def copy_jars(
    text: str,
    plugin: str,
    work: Path,
    *,
    layout: bool,
    strict: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Run ``dependency:copy-dependencies`` on a pom inside the empty folder ``work``; the folder of jars it gives.

    ``strict`` refuses a file whose checksum the repository lacks or contradicts, for who has no digest to compare with.
    ``layout`` keeps the repository's folders (``g/r/o/u/p/artifact/version/file``), else all jars lie side by side.
    ``progress`` is told the bytes of jars present so far. Raises PreflightError when mvn is missing or fails.
    """
    program = shutil.which("mvn")
    if program is None:
        raise PreflightError("mvn is not installed", hint="Install Maven: apt install maven.")
    work.joinpath("pom.xml").write_text(text)
    out = work / "jars"
    command = [
        program, "--batch-mode", "--no-transfer-progress",
        "--strict-checksums" if strict else "--lax-checksums",
        *_settings(),
        "--file", str(work / "pom.xml"),
        f"-Dmaven.repo.local={work / 'repository'}",
        *_TRANSPORT,
        f"{plugin}:copy-dependencies",
        f"-DoutputDirectory={out}",
        f"-Dmdep.useRepositoryLayout={str(layout).lower()}",
        "-DincludeScope=runtime",
    ]  # fmt: skip
    log = work / "mvn.log"
    repository = work / "repository"

    def watch() -> int:
        present = _bytes_below(repository)
        if progress:
            progress(present)
        return present

    if process.run(command, log, cwd=work, env=os.environ, stall=STALL, watch=watch) != 0:
        raise PreflightError(f"mvn failed: {_cause(log.read_text(errors='replace'))}")
    return out


def jar_in(work: Path, jar: Jar) -> Path | None:
    """A jar that a run of :func:`copy_jars` brought, also one that failed half-way; None when it is not there."""
    repository = work / "repository" / Path(*jar.group.split(".")) / jar.artifact / jar.version
    places = (work / "jars" / jar.filename, repository / jar.filename)
    return next((path for path in places if path.is_file()), None)


def unexpected(work: Path, jars: Iterable[Jar]) -> list[str]:
    """Names of files that mvn copied and nobody asked for."""
    expected = {jar.filename for jar in jars}
    return sorted(path.name for path in (work / "jars").glob("*") if path.name not in expected)


def _settings() -> list[str]:
    """Under sudo, the caller's own Maven settings (mirrors, proxies), which root's mvn would not look at."""
    user = os.environ.get("SUDO_USER", "")
    if os.geteuid() != 0 or not user or user == "root":
        return []
    with contextlib.suppress(RuntimeError):
        path = Path(f"~{user}").expanduser() / ".m2" / "settings.xml"
        if path.is_file():
            return ["--settings", str(path)]
    return []


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*.[jz][ai][rp]*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _cause(log: str) -> str:
    """The one line of mvn's output that says why, without colours, without Maven's advice on how to debug Maven."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", log)
    errors = [line.split("]", 1)[1].strip() for line in plain.splitlines() if line.startswith("[ERROR]")]
    text = next((line for line in errors if line), plain.strip().splitlines()[-1] if plain.strip() else "no output")
    text = re.sub(r" -> \[Help \d+\].*", "", text)
    return text if len(text) <= 500 else f"{text[:500]}..."
