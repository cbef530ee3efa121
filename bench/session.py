# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of the benchmark: what was measured so far, the labs that are up, and how commands are timed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from bench.figures import Row, median, over_mark

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".dev"))

from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab, load_lab  # noqa: E402
from ansible_collections.labctl.stacks.plugins.module_utils.providers import provider_for  # noqa: E402
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import image  # noqa: E402
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue  # noqa: E402
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store  # noqa: E402

SCRIPTS = Path(sys.executable).parent
LABCTL = SCRIPTS / "labctl"
BASELINE = ROOT / "bench/baseline"
NOTHING_DONE = "nothing to change"


@dataclass(frozen=True)
class Took:
    """A command's wall time and its processor time, in seconds, its peak memory in MiB, and what it said."""

    wall: float
    cpu: float
    memory: float
    out: str
    err: str


def timed(
    *argv: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, fine: tuple[int, ...] = (0,)
) -> Took:
    """Run a command to its end. SystemExit with what it said where its exit code is none of ``fine``."""
    words = [str(word) for word in argv]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        process = subprocess.Popen(
            words, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={**os.environ, **(env or {})}
        )
        # Not process.wait(): only wait4 tells what this one command, with its children, has used.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = [_text(stream) for stream in (out, err)]
    if process.returncode not in fine:
        raise SystemExit(
            f"{' '.join(words)[:300]} ended with {process.returncode}:\n{texts[0][-3000:]}\n{texts[1][-5000:]}"
        )
    return Took(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, *texts)


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


class BenchLab:
    """A Hadoop lab of one head and some workers, brought up by labctl from its own folder."""

    def __init__(self, folder: Path, name: str, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.name = name
        self.env = dict(env or {})
        self.workers = -1
        #: What the last `labctl up` that had something to do has told.
        self.told = ""

    def write(self, workers: int) -> None:
        """Its lab.yml, with so many workers; with none, one host is all of it."""
        head, worker = (
            "hdfs_namenode, yarn_resourcemanager, mapred_historyserver",
            "hdfs_datanode, yarn_nodemanager",
        )
        hosts = f"  head: {{groups: [{head}{'' if workers else f', {worker}'}]}}\n"
        if workers:
            hosts += f"  worker: {{count: {workers}, groups: [{worker}]}}\n"
        text = f"name: {self.name}\nprovider: nspawn\nhosts:\n{hosts}stacks: [hadoop]\n"
        (self.folder / "lab.yml").write_text(text)
        self.workers = workers

    def up(self, workers: int | None = None) -> Took:
        """`labctl up`, with so many workers, or as many as it has. The proof that Hadoop computes is left out."""
        if workers is not None and workers != self.workers:
            self.write(workers)
        took = timed(LABCTL, "up", "--skip-check", cwd=self.folder, env=self.env)
        if NOTHING_DONE not in took.out:
            self.told = took.err
        return took

    def noop(self) -> Took:
        """`labctl up` that must find nothing to do."""
        took = self.up()
        if NOTHING_DONE not in took.out:
            raise SystemExit(f"labctl up on lab {self.name} was to find nothing to do, and said:\n{took.out}")
        return took

    def down(self) -> None:
        """Remove the lab, if it was ever made."""
        if (self.folder / "lab.yml").exists() and self.workers >= 0:
            timed(LABCTL, "down", "--yes", cwd=self.folder, env=self.env)
            self.workers = -1

    @property
    def lab(self) -> Lab:
        """The lab, as labctl reads it."""
        return load_lab(self.folder / "lab.yml")

    @property
    def config(self) -> Path:
        """Its ssh configuration."""
        return self.folder / ".labctl/ssh/config"

    @property
    def size(self) -> int:
        """How many hosts it has."""
        return 1 + self.workers

    def on(self, host: str, command: str) -> str:
        """What a shell command says on a host."""
        return timed("ssh", "-F", self.config, "-oBatchMode=yes", "-T", "--", host, command).out


@dataclass
class Session:
    """What cases share. ``problems`` are reasons not to believe the table."""

    folder: Path
    rounds: int
    samples: dict[str, list[float]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    timeline: str = ""
    _labs: dict[str, BenchLab] = field(default_factory=dict)

    def note(self, series: str, value: float) -> float:
        """Keep one measurement, and say it."""
        self.samples.setdefault(series, []).append(value)
        print(f"    {series}: {value:.3f}", flush=True)
        return value

    def median(self, series: str) -> float:
        """The middle of what was measured so far."""
        return median(self.samples[series])

    def mark(self, series: str, mark: float) -> None:
        """Complain where a baseline is slower than it is known to be able to."""
        if problem := over_mark(series, self.median(series), mark):
            self.problems.append(problem)

    def each_round(self, title: str, *steps: Callable[[], object]) -> None:
        """The steps in turn, as often as there are rounds."""
        for number in range(self.rounds):
            print(f"  {title}, round {number + 1} of {self.rounds}", flush=True)
            for step in steps:
                step()

    def lab(self, name: str, env: Mapping[str, str] | None = None) -> BenchLab:
        """The lab of this name; made up of nothing until it is brought up, and removed at the end."""
        if name not in self._labs:
            self._labs[name] = BenchLab(self.folder, name, env)
        return self._labs[name]

    def hadoop(self, workers: int) -> BenchLab:
        """The shared Hadoop lab, with at least so many workers."""
        lab = self.lab("bench-hadoop")
        if lab.workers < workers:
            print(f"  bringing up {workers + 1} hosts", flush=True)
            lab.up(workers)
        return lab

    def close(self) -> None:
        """Remove every lab."""
        for lab in self._labs.values():
            lab.down()


def base_image() -> Path:
    """The unpacked image that Hadoop's hosts lie over; it is made first, where there is none."""
    recipe = image.recipe_for("debian-13", ("hadoop",))
    return image.path_of(image.ensure(recipe, None, lambda _host, _step: None).digest)


def store_tree() -> Path:
    """Hadoop's folder in this machine's store; it is brought there first, where it is not."""
    return Store().root / "trees" / Store().resolve(catalogue("hadoop")).digest


def addresses(lab: BenchLab) -> dict[str, str]:
    """Host -> address."""
    return {host.name: host.address for host in provider_for(lab.lab).hosts()}
