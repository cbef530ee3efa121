# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: steady requests to a service, so that nobody changes it unnoticed.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable

#: Seconds between two requests of the steady load to one node.
PACE = 0.04


def get(address: str, port: int, path: str, timeout: float = 5) -> str:
    """What a web server answers on a connection of its own. OSError, HTTPException where it fails, or not with 200."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace").strip()
        if answer.status != 200:
            raise OSError(f"status {answer.status}: {text[:100]}")
        return text
    finally:
        connection.close()


class Load:
    """Steady requests for ``/version`` to some nodes, each on a connection of its own, until :meth:`stop`."""

    def __init__(self, addresses: list[str], port: int, *, ask: Callable[[str, int, str], str] = get) -> None:
        self.answers: list[str] = []
        self.failures: list[str] = []
        self._ask = ask
        self._over = threading.Event()
        self._begun = time.monotonic()
        self._threads = [threading.Thread(target=self._run, args=(one, port), daemon=True) for one in addresses]

    def start(self) -> None:
        """Begin to ask."""
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()

    def _run(self, address: str, port: int) -> None:
        while not self._over.is_set():
            next_one = time.monotonic() + PACE
            try:
                self.answers.append(self._ask(address, port, "/version"))
            except (OSError, http.client.HTTPException) as exc:
                after = time.monotonic() - self._begun
                self.failures.append(f"{after:.1f} s after the first, by {address}: {exc or type(exc).__name__}")
            self._over.wait(max(0.0, next_one - time.monotonic()))

    def stop(self) -> None:
        """End, once the requests on their way were answered."""
        self._over.set()
        for thread in self._threads:
            thread.join()
