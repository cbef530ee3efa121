# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs independent steps side by side while the main thread stays free to be interrupted."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from labctl.lab.interrupt import Interrupted, stop_descendants


def together(
    steps: dict[str, Callable[[], Any]], most: int = 0
) -> tuple[dict[str, Any], dict[str, BaseException], dict[str, float]]:
    """Run the steps side by side, at ``most`` so many at a time, and wait for all.

    Returns results, exceptions and seconds by step name. On Interrupted the steps' programs are ended, the
    threads get some seconds to notice, and the exception goes on.
    """
    done: queue.SimpleQueue[tuple[str, Any, BaseException | None, float]] = queue.SimpleQueue()
    waiting: queue.SimpleQueue[tuple[str, Callable[[], Any]]] = queue.SimpleQueue()
    for item in steps.items():
        waiting.put(item)

    def work() -> None:
        while True:
            try:
                name, step = waiting.get_nowait()
            except queue.Empty:
                return
            began = time.monotonic()
            try:
                outcome = step()
            except BaseException as exc:
                done.put((name, None, exc, time.monotonic() - began))
            else:
                done.put((name, outcome, None, time.monotonic() - began))

    # As many threads as may work at a time, not one for each of a thousand hosts.
    count = min(most, len(steps)) if most else len(steps)
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    results: dict[str, Any] = {}
    errors: dict[str, BaseException] = {}
    seconds: dict[str, float] = {}
    try:
        for thread in threads:
            thread.start()
        for _ in steps:
            name, outcome, error, took = done.get()
            seconds[name] = took
            if error is None:
                results[name] = outcome
            else:
                errors[name] = error
    except Interrupted:
        while not waiting.empty():
            with contextlib.suppress(queue.Empty):
                waiting.get_nowait()
        stop_descendants()
        for thread in threads:
            thread.join(timeout=5)
        raise
    return results, errors, seconds
