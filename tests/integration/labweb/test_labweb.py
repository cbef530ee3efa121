# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labweb, built by the real go, on this machine's loopback: what it answers, and that it ends losing no request."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue
from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="go is not installed")

Start = Callable[..., "Web"]


class Web:
    """A running labweb."""

    def __init__(self, program: Path, log: Path, **settings: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.log = log
        environment = {"LABWEB_LISTEN": f"127.0.0.1:{self.port}"}
        environment |= {f"LABWEB_{name.upper()}": value for name, value in settings.items()}
        with log.open("w") as out:
            self.process = subprocess.Popen([program], env=environment, stdout=out, stderr=out)
        deadline = time.monotonic() + 20
        while True:
            with suppress(OSError):
                if self.ask("/healthz")[0] == 200:
                    return
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def program() -> Path:
    return Store().resolve(catalogue("labweb")).path / "bin" / "labweb"


@pytest.fixture
def start(program: Path, tmp_path: Path) -> Iterator[Start]:
    running: list[Web] = []

    def begin(**settings: str) -> Web:
        running.append(Web(program, tmp_path / f"{len(running)}.log", **settings))
        return running[-1]

    yield begin
    for web in running:
        web.process.kill()
        web.process.wait()


def test_it_says_who_it_is(start: Start, program: Path) -> None:
    web = start(name="one", version="7")
    assert web.ask("/version") == (200, "7\n")
    assert web.ask("/hostname") == (200, f"{socket.gethostname()}\n")
    said = json.loads(web.ask("/")[1])
    assert (said["name"], said["version"]) == ("one", "7")
    assert web.ask("/readyz")[0] == 200
    assert web.ask("/fetch?url=http://127.0.0.1/")[0] == 404, "only where it was asked for"
    assert web.ask("/files/x")[0] == 404
    done = subprocess.run([program, "get", f"{web.url}/version"], capture_output=True, check=True)
    assert done.stdout == b"7\n"
    assert subprocess.run([program, "get", f"{web.url}/nothing"], capture_output=True, check=False).returncode == 1
    assert '"/version" 200' in web.log.read_text()
    assert "readyz" not in web.log.read_text()


def test_files_are_written_read_and_kept_in_their_folder(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (tmp_path / "outside").write_text("private")
    (folder / "link").symlink_to("../outside")
    web = start(files=str(folder))
    assert web.ask("/files/a", "PUT", b"text")[0] == 201
    assert web.ask("/files/a") == (200, "text")
    assert (folder / "a").read_text() == "text"
    assert web.ask("/files/none")[0] == 404
    for path in ("/files/..%2foutside", "/files/link", "/files/../outside"):
        status, body = web.ask(path)
        assert status != 200, path
        assert "private" not in body
    assert web.ask("/files/big", "PUT", bytes(2 << 20))[0] == 500
    assert not (folder / "big").exists()


def test_it_asks_others_where_it_may(start: Start) -> None:
    other = start(version="8")
    web = start(fetch="true")
    assert web.ask(f"/fetch?url={other.url}/version") == (200, "8\n")
    assert web.ask(f"/fetch?url={other.url}/nothing")[0] == 404
    assert web.ask("/fetch?url=http://127.0.0.1:1/")[0] == 502
    assert web.ask("/fetch?url=file:///etc/passwd")[0] == 400


def test_services_are_gathered_and_shown_as_a_page(start: Start, tmp_path: Path) -> None:
    content = tmp_path / "content.json"
    content.write_text('[{"title": "<b>One</b>", "stars": 5}]')
    ratings = start(name="ratings", content=str(content))
    reviews = start(name="reviews", version="2", upstreams=f"ratings={ratings.url}")
    shop = start(name="shop", title="Shop", upstreams=f"reviews={reviews.url},lost=http://127.0.0.1:1")
    said = json.loads(shop.ask("/api")[1])
    assert said["upstreams"]["reviews"]["upstreams"]["ratings"]["content"][0]["stars"] == 5
    assert "refused" in said["upstreams"]["lost"]["error"]
    status, page = shop.ask("/")
    assert status == 200
    assert "<title>Shop</title>" in page
    assert "&lt;b&gt;One&lt;/b&gt;" in page
    assert "<b>One" not in page
    assert 'id="ratings"' in page
    assert "not available" in page


def test_it_ends_without_losing_a_request(start: Start) -> None:
    web = start(drain="1s")
    failures: list[str] = []
    seen: list[int] = []

    def ask_on() -> None:
        # New requests come for as long as who balances has not heard; here until just before the drain is over.
        until = time.monotonic() + 0.8
        while time.monotonic() < until:
            try:
                seen.append(web.ask("/hostname")[0])
            except OSError as exc:
                failures.append(str(exc))

    web.process.send_signal(signal.SIGTERM)
    threads = [threading.Thread(target=ask_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 0.7
    while (ready := web.ask("/readyz")[0]) != 503:
        assert time.monotonic() < deadline
    assert ready == 503, "who balances is told to go elsewhere"
    for thread in threads:
        thread.join()
    assert web.process.wait(15) == 0
    assert not failures
    assert set(seen) == {200}
