# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads from a mirror that does not do what it should. Nothing may be left behind, and the reason must be named."""

from __future__ import annotations

import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.store.download import download
from unit.store.doubles import QUICK, Answer, Mirror, certificate, ranged, redirects, sends, sha512
from unit.store.doubles import mirror as serve

BODY = b"the real bytes" * 1000
HTML = b"<html><body>Please log in to the guest network</body></html>"


def slow(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(BODY)))
    request.end_headers()
    for byte in BODY:
        request.wfile.write(bytes([byte]))
        time.sleep(0.05)


def test_right_bytes_arrive_with_progress(mirror: Mirror, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    url = mirror.url("/x", sends(BODY))
    download(url, tmp_path / "x", sha512(BODY), max_bytes=1 << 20, progress=lambda *at: told.append(at), rules=QUICK)
    assert (tmp_path / "x").read_bytes() == BODY
    assert told[-1] == (len(BODY), len(BODY))


def test_server_that_flaps_is_asked_again(mirror: Mirror, tmp_path: Path) -> None:
    cut = sends(BODY[:100], length=len(BODY))
    url = mirror.url("/x", sends(b"", status=503), cut, sends(BODY))
    download(url, tmp_path / "x", sha512(BODY), max_bytes=1 << 20, rules=QUICK)
    assert (tmp_path / "x").read_bytes() == BODY


@pytest.mark.parametrize(
    ("answer", "says", "requests"),
    [
        (sends(b"x" + BODY[1:]), "wrong digest", 1),
        (sends(BODY[:-1]), "wrong digest", 1),
        (sends(HTML), "wrong digest", 1),
        (sends(BODY[:100], length=len(BODY)), "ended after 100 of 14000 bytes", 3),
        (sends(b"", status=404), "answered 404", 1),
        (sends(b"", status=500), "answered 500", 3),
        (sends(b"", length=1 << 40), "1099511627776 bytes, at most", 1),
        (slow, "too slow", 1),
    ],
)
def test_wrong_answers_are_named_and_leave_nothing(
    mirror: Mirror, tmp_path: Path, answer: Answer, says: str, requests: int
) -> None:
    rules = replace(QUICK, attempts=1, timeout=0.3) if answer is slow else QUICK
    url = mirror.url("/x", answer)
    with pytest.raises(PreflightError, match=says):
        download(url, tmp_path / "x", sha512(BODY), max_bytes=1 << 20, rules=rules)
    assert len(mirror.requests) == requests
    assert list(tmp_path.iterdir()) == []


def test_endless_answer_is_cut_off(mirror: Mirror, tmp_path: Path) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(b"z" * 65536)

    with pytest.raises(PreflightError, match="more than the 1000000 bytes"):
        download(mirror.url("/x", endless), tmp_path / "x", sha512(BODY), max_bytes=1_000_000, rules=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_unreachable_server_is_named(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match=r"http://127\.0\.0\.1:1/x: .*refused"):
        download("http://127.0.0.1:1/x", tmp_path / "x", sha512(BODY), max_bytes=10, rules=QUICK)


def test_plain_http_is_refused_by_default(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="not https"):
        download("http://127.0.0.1:1/x", tmp_path / "x", sha512(BODY), max_bytes=10)


def test_redirect_from_https_to_http_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    server, client = certificate(tmp_path)
    with serve(server) as secure:
        rules = replace(QUICK, schemes=("https",), context=client)
        target = tmp_path / "x"
        download(secure.url("/good", sends(BODY)), target, sha512(BODY), max_bytes=1 << 20, rules=rules)
        target.unlink()
        url = secure.url("/x", redirects(mirror.url("/y", sends(BODY))))
        with pytest.raises(PreflightError, match="redirected to http://"):
            download(url, target, sha512(BODY), max_bytes=1 << 20, rules=rules)
    assert mirror.requests == []
    assert not target.exists()


def test_unknown_certificate_is_refused(tmp_path: Path) -> None:
    server, _ = certificate(tmp_path)
    with serve(server) as secure, pytest.raises(PreflightError, match="CERTIFICATE_VERIFY_FAILED"):
        rules = replace(QUICK, schemes=("https",), attempts=1)
        download(secure.url("/x", sends(BODY)), tmp_path / "x", sha512(BODY), max_bytes=1 << 20, rules=rules)


BIG = bytes(range(256)) * 400  # more than the 64 KiB that count as moving on


def get(url: str, path: Path, body: bytes = BIG, *, attempts: int = 3, timeout: float = 2.0) -> None:
    rules = replace(QUICK, attempts=attempts, timeout=timeout)
    partial = path.with_name("partial")
    download(url, path, sha512(body), max_bytes=1 << 20, rules=rules, partial=partial)


@pytest.mark.parametrize("dated", [False, True], ids=["etag", "date"])
def test_broken_transfer_goes_on_where_it_stopped(mirror: Mirror, tmp_path: Path, dated: bool) -> None:
    cut = ranged(BIG, cut=70_000, dated=dated)
    get(mirror.url("/x", cut, ranged(BIG, dated=dated)), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == BIG
    assert mirror.ranges == ["", "bytes=70000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_next_run_goes_on_where_the_last_one_stopped(mirror: Mirror, tmp_path: Path) -> None:
    url = mirror.url("/x", ranged(BIG, cut=70_000))
    with pytest.raises(PreflightError, match="ended after 70000 of 102400 bytes"):
        get(url, tmp_path / "x", attempts=1)
    assert not (tmp_path / "x").exists()
    mirror.url("/x", ranged(BIG))
    get(url, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == BIG
    assert mirror.ranges[-1].startswith("bytes=70000-")


def test_what_was_kept_is_not_used_when_the_server_has_another_file(mirror: Mirror, tmp_path: Path) -> None:
    new = BIG[::-1]
    get(mirror.url("/x", ranged(BIG, cut=70_000), ranged(new, '"two"')), tmp_path / "x", new)
    assert (tmp_path / "x").read_bytes() == new
    assert mirror.ranges == ["", "bytes=70000-"]


def test_without_a_mark_nothing_is_kept(mirror: Mirror, tmp_path: Path) -> None:
    url = mirror.url("/x", sends(BIG[:70_000], length=len(BIG)), sends(BIG))
    get(url, tmp_path / "x")
    assert mirror.ranges == ["", ""]


def test_weak_mark_or_a_date_is_not_enough_for_what_is_not_pinned(mirror: Mirror, tmp_path: Path) -> None:
    for dated, etag in ((True, ""), (False, 'W/"one"')):
        url = mirror.url("/x", ranged(BIG, etag, cut=70_000, dated=dated), ranged(BIG, etag, dated=dated))
        download(url, tmp_path / "x", "unpinned", max_bytes=1 << 20, rules=QUICK, partial=tmp_path / "partial")
    assert mirror.ranges == [""] * 4


def test_what_was_kept_and_damaged_on_disk_costs_a_new_transfer_only(mirror: Mirror, tmp_path: Path) -> None:
    url = mirror.url("/x", ranged(BIG, cut=70_000))
    with pytest.raises(PreflightError):
        get(url, tmp_path / "x", attempts=1)
    partial = tmp_path / "partial"
    partial.write_bytes(b"z" + partial.read_bytes()[1:])
    mirror.url("/x", ranged(BIG))
    get(url, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == BIG


def test_server_that_refuses_the_rest_is_asked_for_all_of_it(mirror: Mirror, tmp_path: Path) -> None:
    url = mirror.url("/x", ranged(BIG, cut=70_000), sends(b"", status=416), ranged(BIG))
    get(url, tmp_path / "x")
    assert mirror.ranges == ["", "bytes=70000-", ""]


def test_server_that_breaks_off_again_and_again_gives_the_file_in_the_end(mirror: Mirror, tmp_path: Path) -> None:
    body = BIG * 8
    cuts = [ranged(body, cut=70_000 * times) for times in range(1, 11)]
    get(mirror.url("/x", *cuts, ranged(body)), tmp_path / "x", body)
    assert len(mirror.requests) == 11


def test_server_that_dribbles_its_headers_is_cut_off(mirror: Mirror, tmp_path: Path) -> None:
    def dribble(request: BaseHTTPRequestHandler) -> None:
        for byte in b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 100:
            request.wfile.write(bytes([byte]))
            request.wfile.flush()
            time.sleep(0.05)

    began = time.monotonic()
    with pytest.raises(PreflightError, match="too slow: no answer"):
        get(mirror.url("/x", dribble), tmp_path / "x", attempts=1, timeout=0.2)
    assert time.monotonic() - began < 5
    assert list(tmp_path.iterdir()) == []


def test_login_page_is_called_one(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="is an HTML page") as failure:
        get(mirror.url("/x", sends(HTML)), tmp_path / "x")
    assert "login page" in failure.value.hint
