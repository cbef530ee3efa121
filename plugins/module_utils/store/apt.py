# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: apt in a folder of its own, so that what this machine has installed decides nothing.

mmdebstrap makes the folder: it knows each suite's archive and the keys that sign it, so that no mirror is named here.
Apt verifies the archive's signature, and the packages against what was signed. Sources: apt-get(8), apt.conf(5),
mmdebstrap(1).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import Finding, PreflightError
from . import process
from .debs import Deb, parsed
from .disk import make_folder

if TYPE_CHECKING:
    from .sources.base import Progress

#: Seconds after which an apt that brings nothing is taken for stuck; its own limit for a silent server is 30 s.
STALL = 180.0
#: sources.list(5) names this machine's file of keys where they are not among those apt trusts anyway.
_SIGNED_BY = re.compile(r'\s*signed-by=("[^"]*"|[^\s\]]*)|^Signed-By:.*(\n[ \t].*)*\n', re.MULTILINE)
_LINE = re.compile(r"'[^']+' (\S+) (\d+) SHA256:([0-9a-f]{64})")
_MISSING = re.compile(r"E: (?:Version '([^']+)' for '([^']+)' was not found|Unable to locate package (\S+))")


class Planned(NamedTuple):
    """A package that apt would fetch: its file's name, bytes and sha256, as the signed index has them."""

    filename: str
    size: int
    sha256: str
    deb: Deb


class Apt:
    """An apt for one suite and architecture (Debian's word for it) below ``folder``, which must not exist yet."""

    def __init__(self, suite: str, arch: str, folder: Path, progress: Progress) -> None:
        self.suite, self.arch, self.folder, self.progress = suite, arch, folder, progress
        self.root = folder / "root"
        self._config = folder / "apt.conf"

    def prepare(self) -> None:
        """Make the folder and fetch the suite's index. Raises PreflightError where there is no way to."""
        make_folder(self.folder)
        for program in ("mmdebstrap", "apt-get"):
            if _find(program) is None:
                raise PreflightError(f"{program} is not installed", hint=f"apt-get install {program.split('-')[0]}")
        self._run(
            [
                "mmdebstrap", "--mode=chrootless", "--variant=custom", "--format=null", "--skip=update,cleanup",
                f"--architectures={self.arch}",
                '--setup-hook=cp -a "$1" "$LABCTL_TO/root" && cp "$MMDEBSTRAP_APT_CONFIG" "$LABCTL_TO/apt.conf"',
                self.suite, "-",
            ],
            LABCTL_TO=str(self.folder),
        )  # fmt: skip
        text = self._config.read_text()
        match = re.search(r'^Dir "([^"]+)";', text, re.MULTILINE)
        if match is None:
            raise PreflightError(
                "mmdebstrap's configuration of apt names no folder", hint="is it version 1.3 or newer?"
            )
        # The store's folder for work is ours alone: apt's unprivileged user could not reach it.
        self._config.write_text(text.replace(match[1], str(self.root)) + 'APT::Sandbox::User "root";\n')
        self.progress(f"fetching the package index of {self.suite}", 0, 0)
        self._run(["apt-get", "update", "--error-on=any"])

    def sources(self) -> dict[str, str]:
        """Path below /etc/apt -> text of the lists of sources, without what holds for this machine only."""
        folder = self.root / "etc" / "apt"
        paths = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
        texts = {str(path.relative_to(folder)): path.read_text() for path in paths if path.is_file()}
        return {name: _SIGNED_BY.sub("", text).replace("deb [] ", "deb ") for name, text in texts.items() if text}

    def plan(self, packages: Iterable[str]) -> list[Planned]:
        """What a minimal system with these packages consists of, with all it depends on and without recommendations.

        Raises PreflightError with apt's reason where there is no such set.
        """
        self.progress(f"resolving packages of {self.suite}", 0, 0)
        suite = f"?or(?archive(^{self.suite}$),?codename(^{self.suite}$))"
        base = f"?narrow({suite},?architecture({self.arch}),?or(?essential,?priority(required)))"
        return self._uris("install", base, "apt", *sorted(packages))

    def exactly(self, debs: Iterable[Deb]) -> list[Planned]:
        """Where packages of exactly these versions are. PreflightError that names each that is no longer there."""
        return self._uris("download", *(f"{deb.name}={deb.version}" for deb in debs))

    def _uris(self, verb: str, *words: str) -> list[Planned]:
        options = ["--yes", "-qq", "--print-uris", "-oAcquire::ForceHash=sha256"]
        found = []
        for line in self._run(["apt-get", *options, verb, *words]).splitlines():
            match = _LINE.match(line)
            deb = parsed(match[1]) if match else None
            if match and deb:
                found.append(Planned(match[1], int(match[2]), match[3], deb))
        return found

    def download(self, wanted: list[Planned]) -> Path:
        """Fetch these; the folder their files are in. What came is apt's to verify, and is verified again by us."""
        folder = make_folder(self.folder / "debs")
        total = sum(item.size for item in wanted)
        step = f"{len(wanted)} Debian packages"

        def watch() -> int:
            done = sum(path.stat().st_size for path in folder.glob("*.deb"))
            self.progress(step, min(done, total), total)
            return done

        self._run(["apt-get", "-q", "download", *(f"{d.name}={d.version}" for _, _, _, d in wanted)], folder, watch)
        return folder

    def _run(self, argv: list[str], cwd: Path | None = None, watch: process.Watch = None, **extra: str) -> str:
        """Run a program of apt's to its end, and return what it printed. PreflightError with its reason."""
        log = self.folder / "log"
        environment = {**os.environ, "APT_CONFIG": str(self._config), "LC_ALL": "C.UTF-8", "PATH": _path(), **extra}
        if argv[0] == "mmdebstrap":
            del environment["APT_CONFIG"]
        code = process.run(
            argv, log, cwd=cwd or self.folder, env=environment, stall=STALL,
            watch=watch or (lambda: log.stat().st_size),
        )  # fmt: skip
        said = log.read_text(errors="replace")
        if code != 0:
            raise _failed(argv[0], self.suite, said)
        return said


def _failed(program: str, suite: str, said: str) -> PreflightError:
    gone = [match[3] or f"{match[2]} {match[1]}" for match in _MISSING.finditer(said)]
    if gone:
        return PreflightError(
            f"Debian's archive of {suite} does not have {', '.join(gone[:5])}{', ...' if len(gone) > 5 else ''}",
            hint="An archive drops old versions. Take them from a mirror or a bundle that has them, "
            "or move the lab to the current ones: labctl lock --upgrade.",
            findings=tuple(Finding(name, "is not in the archive") for name in gone),
        )
    errors = [line for line in said.splitlines() if line.startswith(("E: ", "Err:"))]
    tellers = [line for line in errors if "mmdebstrap failed" not in line] or errors or said.splitlines()[-1:]
    reason = tellers[0].removeprefix("E: ")[:300] if tellers else "it said nothing"
    return PreflightError(f"{program} failed for {suite}: {reason}", hint="Is Debian's archive reachable?")


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"


def _find(program: str) -> str | None:
    return shutil.which(program, path=_path())
