# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: hands one tree of files to other hosts for a short time, then ends; see share.py.

A program of its own, which imports nothing of the project: ``python3 -ISc <this text> TREE ADDRESS IDLE``. It reads a
token (one line) from stdin, writes the port it took to ``$RUNTIME_DIRECTORY/port``, answers ``GET /<token>`` with
the tree as a tar, everything else with 404, and ends IDLE seconds after the last transfer.

Runs on hosts: standard library only, Python 3.8 and newer.
"""

from __future__ import annotations

import hmac
import os
import socket
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Server(ThreadingHTTPServer):
    """One tree under one token."""

    daemon_threads = True

    def __init__(self, tree: Path, address: str, token: str) -> None:
        self.tree = tree
        self.token = token
        self.last = time.monotonic()
        self.active = 0
        self.counting = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, 0), Handler)

    def server_bind(self) -> None:
        """As the parents do, without looking up the address's name, which may take a resolver's timeout."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever went away in the middle fetches it elsewhere."""

    def until_idle(self, idle: float) -> None:
        """Serve until nothing was asked for a while."""
        threading.Thread(target=self.serve_forever, daemon=True).start()
        while self.active or time.monotonic() - self.last < idle:
            time.sleep(0.2)


class Handler(BaseHTTPRequestHandler):
    """Answers in HTTP/1.0: the end of the connection is the end of the tar, which has an end mark of its own."""

    server: Server
    timeout = 30

    def do_GET(self) -> None:
        given = self.path.lstrip("/").encode("utf-8", "replace")
        if not hmac.compare_digest(given, self.server.token.encode()):
            self.send_error(404)
            return
        with self.server.counting:
            self.server.active += 1
        try:
            self.send_response(200)
            self.send_header("Content-Type", "application/x-tar")
            self.end_headers()
            write_tar(self.server.tree, self.wfile)
        finally:
            with self.server.counting:
                self.server.active -= 1
                self.server.last = time.monotonic()

    def log_message(self, *words: Any) -> None:
        """The path is the token: nothing of it gets into a journal."""


def write_tar(tree: Path, out: Any) -> None:
    """The regular files below a folder, sorted, without times and owners."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()):
            info = tarfile.TarInfo(path.relative_to(tree).as_posix())
            info.size, info.mode = path.stat().st_size, path.stat().st_mode & 0o777
            with path.open("rb") as stream:
                tar.addfile(info, stream)


def main(tree: str, address: str, idle: str) -> None:
    """Run it."""
    server = Server(Path(tree), address, sys.stdin.readline().strip())
    if len(server.token) < 32:
        sys.exit("no token")
    port = Path(os.environ["RUNTIME_DIRECTORY"], "port")
    draft = port.with_name(".port")
    draft.write_text(f"{server.server_port}\n")
    draft.replace(port)
    server.until_idle(float(idle))


if __name__ == "__main__":
    main(*sys.argv[1:])
