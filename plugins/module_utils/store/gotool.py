# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the ordinary ``go``, run so that the same entry gives the same bytes everywhere.

The toolchain is pinned by ``GOTOOLCHAIN``: a ``go`` of another version fetches that one through the module proxy and
checks it (https://go.dev/doc/toolchain). Where modules come from stays the user's own choice (GOPROXY and its
relatives); everything that would change what is compiled is set here. Module and build caches are labctl's own, beside
the store, so that an interrupted build goes on where it was.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from ..errors import PreflightError
from ..paths import caller_environment, caller_identity
from .process import run

#: What a user may have set about where modules come from and how to reach it; the rest of the settings is ours.
USERS = ("GOPROXY", "GONOPROXY", "GOPRIVATE", "GOSUMDB", "GONOSUMDB", "GOINSECURE", "GOAUTH", "GOVCS")
_PASSED = re.compile(
    r"PATH|HOME|USER|LOGNAME|TMPDIR|(https?|all|no)_proxy|(SSL|CURL|GIT|NIX)_[A-Z_]*|NETRC", re.IGNORECASE
)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
#: Bytes of memory that one compiler or linker may want; the largest linkers (kubelet, apiserver) take about so much.
PER_JOB = 1536 << 20
#: Seconds without a compiled package or a line of output after which a build is taken for stuck (a dead proxy).
STALL = 900.0


class Go:
    """The ``go`` command with a pinned toolchain and caches in ``cache``; ``arch`` is that of the machine it is for."""

    def __init__(self, toolchain: str, cache: Path, *, arch: str, cgo: bool, skip_sums: tuple[str, ...] = ()) -> None:
        program = shutil.which("go")
        if program is None:
            raise PreflightError(
                "go is not installed, and this artefact is built by it",
                hint=f"Install Go 1.21 or newer (apt install golang, or go.dev/dl); it gets {toolchain} by itself.",
            )
        self.program = program
        self.toolchain = toolchain
        kept = {key: value for key, value in os.environ.items() if _PASSED.fullmatch(key)} | caller_environment()
        users = json.loads(self._ask({**os.environ, **kept, "GOTOOLCHAIN": "local"}, "env", "-json", *USERS))
        skipped = ",".join(filter(None, (users.get("GONOSUMDB", ""), *skip_sums)))
        self.env = {
            **kept,
            **{key: value for key, value in users.items() if value},
            **({"GONOSUMDB": skipped} if skipped else {}),
            "GOENV": "off",
            "GOTOOLCHAIN": toolchain,
            "GOFLAGS": "-modcacherw",
            "GOWORK": "off",
            "GO111MODULE": "on",
            "GOTELEMETRY": "off",
            "GOEXPERIMENT": "",
            "GOFIPS140": "off",
            "GOOS": "linux",
            "GOARCH": ARCHITECTURES[arch],
            "GOAMD64": "v1",
            "GOARM64": "v8.0",
            "CGO_ENABLED": "1" if cgo else "0",
            "GOPATH": str(cache),
            "GOMODCACHE": str(cache / "mod"),
            "GOCACHE": str(cache / "build"),
            "LC_ALL": "C.UTF-8",
        }
        found = self._ask(self.env, "env", "GOVERSION").strip()
        if found != toolchain:
            raise PreflightError(
                f"go works as {found}, not as the pinned {toolchain}",
                hint="Install Go 1.21 or newer: older ones cannot bring another toolchain.",
            )

    def _ask(self, env: dict[str, str], *arguments: str) -> str:
        done = subprocess.run(
            [self.program, *arguments],
            env=env,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            **caller_identity(),
        )
        if done.returncode != 0:
            raise PreflightError(
                f"go {arguments[0]} failed: {first_errors(done.stderr)}",
                hint=f"{self.toolchain} comes through GOPROXY; see that it can be reached.",
            )
        return done.stdout

    def run(self, arguments: list[str], work: Path, progress: Callable[[str], object] | None = None) -> str:
        """Run ``go`` in a folder; what it printed, output and errors together.

        ``progress`` is told each further line that it prints. Raises PreflightError with the first errors.
        """
        log = work.parent / f"{work.name}.log"
        seen = 0

        def watch() -> object:
            nonlocal seen
            size = log.stat().st_size
            if size > seen and progress:
                with log.open("rb") as stream:
                    stream.seek(seen)
                    text = stream.read()
                whole = text.rfind(b"\n") + 1
                for line in text[:whole].decode(errors="replace").splitlines():
                    progress(line)
                seen += whole
            return size, _entries(Path(self.env["GOMODCACHE"]) / "cache" / "download")

        status = run(
            [self.program, *arguments],
            log,
            cwd=work,
            env=self.env,
            stall=STALL,
            watch=watch,
            identity=caller_identity(),
        )
        text = log.read_text(errors="replace")
        if status != 0:
            raise PreflightError(f"go {arguments[0]} failed: {first_errors(text)}", hint=_hint(text))
        return text


def _entries(folder: Path) -> int:
    """A number that moves while modules arrive."""
    try:
        return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0
    except OSError:
        return 0


def first_errors(text: str, lines: int = 3) -> str:
    """The first lines of go's output that say what is wrong, in one line."""
    telling = [
        line.strip()
        for line in text.splitlines()
        if line.strip() and not line.startswith(("#", "go: downloading", "go: finding", "go: upgraded", "go: added"))
    ]
    errors = [line for line in telling if re.search(r"[:.] |error|cannot|missing|undefined|not found", line)]
    chosen = "; ".join((errors or telling or ["no output"])[:lines])
    return chosen if len(chosen) <= 600 else f"{chosen[:600]}..."


def _hint(text: str) -> str:
    if "missing go.sum entry" in text or "updates to go.mod needed" in text:
        return "The entry's lock does not fit its packages: write it anew with relock."
    if "checksum mismatch" in text or "SECURITY ERROR" in text:
        return "The proxy gives other bytes than the lock says. Do not use them; try another GOPROXY."
    if "no space left" in text:
        return "Free some space, or put the cache elsewhere with LABCTL_CACHE_DIR."
    if re.search(r"dial tcp|i/o timeout|no such host|connection refused|TLS|unrecognized import|410 Gone|404", text):
        return "Modules come through GOPROXY (go env GOPROXY); see that it can be reached."
    if re.search(r"signal: killed|cannot allocate memory", text):
        return "The machine ran out of memory; close something, or build on a larger one."
    return ""


def jobs() -> int:
    """How many compilers and linkers may run at once: one a processor, and no more than memory holds."""
    processors = len(os.sched_getaffinity(0))
    return max(1, min(processors, memory_available() // PER_JOB))


def builds() -> int:
    """How many builds may run at once. A second one fills the processors that the first one's linkers leave idle."""
    return max(1, min(2, memory_available() // (PER_JOB * jobs())))


def memory_available() -> int:
    """Bytes of memory that can be had now; a lot where that cannot be told."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return 1 << 40
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 1 << 40
