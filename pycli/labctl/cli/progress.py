# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows a long command's events: live on a terminal, as lines with the time elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from labctl.cli.app import App
from labctl.lab.events import Event, Listener

if TYPE_CHECKING:
    from rich.console import Group

#: Between two lines about the same artefact's bytes, in seconds, where there is no terminal.
_PATIENCE = 5.0
_STYLES = {"failure": "bold red", "warning": "yellow", "done": "green"}


@contextlib.contextmanager
def progress(app: App, title: str) -> Iterator[Listener]:
    """A listener that shows what it hears for as long as the context lasts."""
    if app.err.is_terminal and not app.quiet and app.verbosity < 2:
        from rich.live import Live

        view = _Live(app, title)
        with Live(get_renderable=view.render, console=app.err, refresh_per_second=8, transient=True) as live:
            live.vertical_overflow = "crop"
            yield view.hear
    else:
        yield _Lines(app).hear


class _Lines:
    """A line per event, with the time of day."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, str]] = {}

    def hear(self, event: Event) -> None:
        with self._lock:
            if event.kind == "result" and not self._app.verbosity:
                return
            if event.kind == "output":
                self._app.say(event.text)
                return
            text = event.text
            if event.kind == "artifact":
                now = time.monotonic()
                whole = event.total and event.done >= event.total
                said, told = self._last.get(event.subject, (-_PATIENCE, ""))
                if not whole and told == text and now - said < _PATIENCE:
                    return
                self._last[event.subject] = now, text
                if event.total:
                    text = f"{text}, {size(event.done)} of {size(event.total)}"
                elif event.done:
                    text = f"{text}, {size(event.done)}"
            line = f"{event.subject}: {text}" if text else event.subject
            self._app.say(f"{time.strftime('%H:%M:%S')} {line}", _STYLES.get(event.kind, ""))


class _Live:
    """The state of things in a few lines that are drawn anew; what is finished or failed scrolls away above."""

    def __init__(self, app: App, title: str) -> None:
        from rich.spinner import Spinner

        self._app = app
        self._title = title
        self._began = self._phase_began = time.monotonic()
        self._phase = ""
        self._hosts: dict[str, str] = {}
        self._artifacts: dict[str, Event] = {}
        self._paces: dict[str, Pace] = {}
        self._task = ""
        self._count = 0
        self._spinner = Spinner("dots" if app.err.encoding.lower().startswith("utf") else "line")
        self._lock = threading.Lock()

    def hear(self, event: Event) -> None:
        with self._lock:
            if event.kind == "phase":
                self._phase, self._phase_began = event.text, time.monotonic()
                self._hosts.clear()
                self._task, self._count = "", 0
            elif event.kind == "host":
                self._hosts[event.subject] = event.text
            elif event.kind == "artifact":
                self._artifacts[event.subject] = event
                self._paces.setdefault(event.subject, Pace()).at(event.done, event.text, time.monotonic())
            elif event.kind == "task":
                self._task, self._count = event.subject, self._count + 1
            elif event.kind == "done":
                took = time.monotonic() - self._phase_began
                self._app.say(f"{event.subject}: {event.text}, {took:.1f} s", "green")
                if event.subject == "hosts":
                    self._hosts.clear()
                    self._artifacts.clear()
            elif event.kind == "output":
                self._app.say(event.text)
            elif event.kind != "result" or self._app.verbosity:
                self._app.say(f"{event.subject}: {event.text}", _STYLES.get(event.kind, ""))

    def render(self) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            seconds = int(time.monotonic() - self._began)
            head = Table.grid(padding=(0, 1))
            line = f"{self._title}, {self._phase}" if self._phase else self._title
            head.add_row(self._spinner, Text(line, "bold"), Text(f"{seconds // 60}:{seconds % 60:02}", "cyan"))
            rows: list[Any] = [head]
            rows += [Text(f"  {name}: {step}", no_wrap=True, overflow="ellipsis") for name, step in self._shown_hosts()]
            rows += [self._bar(name, event) for name, event in self._artifacts.items()]
            if self._task:
                rows.append(Text(f"  {self._count}. {self._task}", no_wrap=True, overflow="ellipsis"))
            return Group(*rows)

    def _shown_hosts(self) -> list[tuple[str, str]]:
        hosts = list(self._hosts.items())
        return hosts if len(hosts) <= 12 else [*hosts[-11:], ("...", f"{len(hosts) - 11} more")]

    def _bar(self, name: str, event: Event) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        row = Table.grid(padding=(0, 1))
        if event.total and event.done < event.total:
            amount = f"{size(event.done)} of {size(event.total)}{self._paces[name].text(event.total)}"
            row.add_row(
                Text(f"  {name}:"), ProgressBar(event.total, event.done, width=24), Text(f"{amount} {event.text}")
            )
        else:
            row.add_row(Text(f"  {name}: {event.text}"))
        return row


class Pace:
    """How fast bytes come, over the last seconds, and how long the rest takes."""

    WINDOW = 5.0

    def __init__(self) -> None:
        self._step = ""
        self._points: list[tuple[float, int]] = []

    def at(self, done: int, step: str, now: float) -> None:
        """So many bytes were there at this time; another step begins anew."""
        if step != self._step or (self._points and done < self._points[-1][1]):
            self._step, self._points = step, []
        self._points.append((now, done))
        while len(self._points) > 2 and now - self._points[0][0] > self.WINDOW:
            self._points.pop(0)

    def text(self, total: int) -> str:
        """``, 12.3 MB/s, 0:42 left``; empty where it is too early to tell."""
        (since, before), (now, done) = self._points[0], self._points[-1]
        if now - since < 0.5 or done <= before:
            return ""
        speed = (done - before) / (now - since)
        left = int((total - done) / speed)
        return f", {size(int(speed))}/s, {left // 60}:{left % 60:02} left"


def size(count: int) -> str:
    """Bytes in the unit people use for downloads; counts below a thousand as they are."""
    if count < 1000:
        return str(count)
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"
