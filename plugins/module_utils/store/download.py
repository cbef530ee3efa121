# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: a file from an https server, kept only when it is the right one.

A transfer that breaks goes on where it stopped, also in a later run, as long as the server says that the file is still
the same; whatever came in pieces is verified as a whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import PreflightError
from ..paths import chown_to_caller
from .digests import UNPINNED
from .tree import CHUNK

BLOCK = 1 << 18
#: However often a transfer that moves on may break.
MOST_ATTEMPTS = 100


@dataclass(frozen=True)
class Rules:
    """What is asked of a server. The defaults are for users; tests serve plain http on loopback and wait less."""

    schemes: tuple[str, ...] = ("https",)
    timeout: float = 30.0  # seconds without an answer, and the window in which min_bytes must come
    min_bytes: int = 64 * 1024
    attempts: int = 3  # in a row, that bring less than min_bytes each
    pause: float = 1.0  # seconds before the second attempt; doubled for each further one
    context: ssl.SSLContext | None = None


class _PassingError(Exception):
    """A failure that another attempt may not meet."""


class _StaleError(_PassingError):
    """What was kept of an earlier attempt does not fit what the server has now."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never to a scheme that was not asked for: an https URL ends on https."""

    def __init__(self, schemes: tuple[str, ...]) -> None:
        self.schemes = schemes

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if newurl.split(":", 1)[0].lower() not in self.schemes:
            raise PreflightError(f"{req.full_url}: redirected to {newurl}, which is not {' or '.join(self.schemes)}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Draft:
    """What has arrived of a file, and by which mark its server will know it again.

    The mark is a strong ETag or a date, sent back as ``If-Range``: the server then sends the rest of the same file, or
    all of a new one. Without a mark nothing is kept; of a file that is not pinned, a date is not mark enough.
    """

    def __init__(self, path: Path, url: str, *, pinned: bool) -> None:
        self.path = path
        self._url = url
        self._pinned = pinned
        self._note = path.with_name(f"{path.name}.json")

    def begun(self) -> tuple[int, str]:
        """How many bytes are there, and their mark; (0, "") where it is better to start anew."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            note = json.loads(self._note.read_text())
            size = self.path.stat().st_size
            if note["url"] == self._url and note["mark"] and size:
                return size, str(note["mark"])
        return 0, ""

    def mark(self, headers: Any) -> None:
        """Remember what the server calls the file that begins to arrive now."""
        etag = str(headers.get("ETag") or "")
        mark = etag if etag.startswith('"') else str(headers.get("Last-Modified") or "") if self._pinned else ""
        self._note.write_text(json.dumps({"url": self._url, "mark": mark}))
        chown_to_caller(self._note)

    def drop(self) -> None:
        """Forget all of it."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def become(self, path: Path) -> None:
        """Put the whole file where it was asked for."""
        self.path.replace(path)
        self._note.unlink(missing_ok=True)


def download(
    url: str,
    path: Path,
    digest: str,
    *,
    max_bytes: int,
    progress: Callable[[int, int], None] | None = None,
    rules: Rules = Rules(),
    partial: Path | None = None,
) -> str:
    """Fetch ``url`` to the new file ``path``, whose digest must be ``digest`` (``sha512:<hex>`` and the like).

    Returns the digest found, sha256 where none was asked for. ``progress`` is told the bytes so far and in all (0 when
    the server does not say). What has arrived when a transfer breaks is kept at ``partial``, if given, and used by the
    next call; else nothing is left unless the bytes are right. Server errors and broken connections are tried again, a
    wrong file is not. Raises PreflightError, whose text says why in a line.
    """
    if url.split(":", 1)[0].lower() not in rules.schemes:
        raise PreflightError(f"{url}: not {' or '.join(rules.schemes)}")
    draft = Draft(partial or path.with_name(f"{path.name}.part"), url, pinned=digest != UNPINNED)
    failures = 0
    for _ in range(MOST_ATTEMPTS):
        before, _mark = draft.begun()
        try:
            found = _attempt(url, draft, digest, max_bytes, progress, rules)
            draft.become(path)
            return found
        except _PassingError as exc:
            if isinstance(exc, _StaleError):
                draft.drop()
            after, _mark = draft.begun()
            failures = 0 if after >= before + rules.min_bytes else failures + 1
            if not after:
                draft.drop()
            if failures == rules.attempts:
                if partial is None:
                    draft.drop()
                raise PreflightError(f"{url}: {exc}") from exc
            time.sleep(rules.pause * 2 ** max(failures - 1, 0))
        except PreflightError:
            draft.drop()
            if before:
                continue  # what was kept from before may be what is wrong
            raise
        except BaseException:
            if partial is None or not draft.begun()[0]:
                draft.drop()
            raise
    raise PreflightError(f"{url}: the connection broke {MOST_ATTEMPTS} times")


def _attempt(
    url: str, draft: Draft, digest: str, max_bytes: int, progress: Callable[[int, int], None] | None, rules: Rules
) -> str:
    algorithm, _, expected = ("sha256", "", "") if digest == UNPINNED else digest.partition(":")
    hashed = hashlib.new(algorithm)
    start, mark = draft.begun()
    headers = {"Range": f"bytes={start}-", "If-Range": mark} if start else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - its scheme was looked at
    done = 0
    with _answers(), _opened(request, rules) as response:
        done = _resumed(response, start, hashed, draft) if start else 0
        if not done:
            draft.mark(response.headers)
        total = done + int(response.headers.get("Content-Length") or 0)
        total = 0 if total == done else total
        if total > max_bytes:
            raise PreflightError(f"{url}: {total} bytes, at most {max_bytes} were expected")
        with draft.path.open("ab" if done else "wb") as target:
            chown_to_caller(draft.path)
            for block in _blocks(response, rules):
                done += len(block)
                if done > max_bytes:
                    raise PreflightError(f"{url}: more than the {max_bytes} bytes that were expected")
                hashed.update(block)
                target.write(block)
                if progress:
                    progress(done, total)
    if total and done < total:
        raise _PassingError(f"the connection ended after {done} of {total} bytes")
    found = f"{algorithm}:{hashed.hexdigest()}"
    if expected and found != digest:
        what = ", and is an HTML page" if _is_page(draft.path) else ""
        raise PreflightError(
            f"{url}: wrong digest, {found} instead of {digest}{what}",
            hint="Do not use this file; see who else has met it."
            if not what
            else "A proxy or a login page stands between: open the URL in a browser.",
        )
    return found


@contextlib.contextmanager
def _answers() -> Iterator[None]:
    """Turns what goes wrong on the way to a server into an error that says whether to try again."""
    try:
        yield
    except urllib.error.HTTPError as exc:
        problem = f"the server answered {exc.code} {exc.reason}"
        if exc.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _StaleError(problem) from exc
        if exc.code >= 500 or exc.code == http.client.TOO_MANY_REQUESTS:
            raise _PassingError(problem) from exc
        raise PreflightError(f"{exc.url}: {problem}") from exc
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as exc:
        raise _PassingError(str(getattr(exc, "reason", "") or exc) or type(exc).__name__) from exc


@contextlib.contextmanager
def _opened(request: urllib.request.Request, rules: Rules) -> Iterator[http.client.HTTPResponse]:
    """The server's answer. A server that takes its time between two bytes of its headers is cut off like any other."""
    connections: list[http.client.HTTPConnection] = []

    def remembered(kind: type[Any]) -> Any:
        class Connection(kind):  # type: ignore[misc]
            def connect(self) -> None:
                connections.append(self)
                super().connect()

        return Connection

    class Plain(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(remembered(http.client.HTTPConnection), req)

    class Secure(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(remembered(http.client.HTTPSConnection), req, context=rules.context)

    late = threading.Event()

    def cut() -> None:
        late.set()
        for one in connections:
            with contextlib.suppress(OSError, AttributeError):  # not connected yet
                one.sock.shutdown(socket.SHUT_RDWR)

    opener = urllib.request.build_opener(_Redirects(rules.schemes), Plain(), Secure(context=rules.context))
    watch = threading.Timer(2 * rules.timeout, cut)
    watch.daemon = True
    watch.start()
    try:
        response = opener.open(request, timeout=rules.timeout)
    except Exception as exc:
        if late.is_set():
            raise _PassingError(f"too slow: no answer in {2 * rules.timeout:.0f} s") from exc
        raise
    finally:
        watch.cancel()
    with response:
        yield response


def _resumed(response: http.client.HTTPResponse, start: int, hashed: Any, draft: Draft) -> int:
    """How many bytes of the draft the answer goes on from, with those hashed; 0 when it is the whole file again."""
    if response.status != 206:
        return 0
    if not re.match(rf"bytes {start}-", response.headers.get("Content-Range") or ""):
        raise _StaleError("the server sent another part than it was asked for")
    with draft.path.open("rb") as stream:
        for block in iter(lambda: stream.read(CHUNK), b""):
            hashed.update(block)
    return start


def _blocks(response: http.client.HTTPResponse, rules: Rules) -> Iterator[bytes]:
    """The answer's bytes as they come; _PassingError when they come too slowly."""
    window, since = 0, time.monotonic()
    while block := response.read1(BLOCK):
        window += len(block)
        if time.monotonic() - since > rules.timeout:
            if window < rules.min_bytes:
                raise _PassingError(f"too slow: {window} bytes in {rules.timeout:.0f} s")
            window, since = 0, time.monotonic()
        yield block


def _is_page(path: Path) -> bool:
    with path.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))
