# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: a file from an https server, hashed as it arrives, kept only when it is the right one."""

from __future__ import annotations

import hashlib
import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import PreflightError
from .digests import UNPINNED

BLOCK = 1 << 18


@dataclass(frozen=True)
class Rules:
    """What is asked of a server. The defaults are for users; tests serve plain http on loopback and wait less."""

    schemes: tuple[str, ...] = ("https",)
    timeout: float = 30.0  # seconds without an answer, and the window in which min_bytes must come
    min_bytes: int = 64 * 1024
    attempts: int = 3
    pause: float = 1.0  # seconds before the second attempt; doubled for each further one
    context: ssl.SSLContext | None = None


class _PassingError(Exception):
    """A failure that another attempt may not meet."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never to a scheme that was not asked for: an https URL ends on https."""

    def __init__(self, schemes: tuple[str, ...]) -> None:
        self.schemes = schemes

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if newurl.split(":", 1)[0].lower() not in self.schemes:
            raise PreflightError(f"redirected to {newurl}, which is not {' or '.join(self.schemes)}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    url: str,
    path: Path,
    digest: str,
    *,
    max_bytes: int,
    progress: Callable[[int, int], None] | None = None,
    rules: Rules = Rules(),
) -> None:
    """Fetch ``url`` to the new file ``path``, whose digest must be ``digest`` (``sha512:<hex>`` and the like).

    ``progress`` is told the bytes so far and in all (0 when the server does not say). Nothing is left at ``path``
    unless the bytes are right. Server errors and broken connections are tried again, a wrong file is not. Raises
    PreflightError, whose text says why in a line.
    """
    if url.split(":", 1)[0].lower() not in rules.schemes:
        raise PreflightError(f"{url}: not {' or '.join(rules.schemes)}")
    for attempt in range(rules.attempts):
        try:
            return _attempt(url, path, digest, max_bytes, progress, rules)
        except _PassingError as exc:
            path.unlink(missing_ok=True)
            if attempt + 1 == rules.attempts:
                raise PreflightError(f"{url}: {exc}") from exc
            time.sleep(rules.pause * 2**attempt)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return None


def _attempt(
    url: str, path: Path, digest: str, max_bytes: int, progress: Callable[[int, int], None] | None, rules: Rules
) -> None:
    algorithm, _, expected = ("sha256", "", "") if digest == UNPINNED else digest.partition(":")
    hashed = hashlib.new(algorithm)
    opener = urllib.request.build_opener(_Redirects(rules.schemes), urllib.request.HTTPSHandler(context=rules.context))
    try:
        with opener.open(url, timeout=rules.timeout) as response, path.open("xb") as target:
            total = int(response.headers.get("Content-Length") or 0)
            if total > max_bytes:
                raise PreflightError(f"{url}: {total} bytes, at most {max_bytes} were expected")
            done = 0
            window, since = 0, time.monotonic()
            while block := response.read1(BLOCK):
                done += len(block)
                window += len(block)
                if done > max_bytes:
                    raise PreflightError(f"{url}: more than the {max_bytes} bytes that were expected")
                if time.monotonic() - since > rules.timeout:
                    if window < rules.min_bytes:
                        raise _PassingError(f"too slow: {window} bytes in {rules.timeout:.0f} s")
                    window, since = 0, time.monotonic()
                hashed.update(block)
                target.write(block)
                if progress:
                    progress(done, total)
    except urllib.error.HTTPError as exc:
        problem = f"the server answered {exc.code} {exc.reason}"
        raise (
            _PassingError(problem) if exc.code >= 500 or exc.code == 429 else PreflightError(f"{url}: {problem}")
        ) from exc
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as exc:
        raise _PassingError(str(getattr(exc, "reason", "") or exc) or type(exc).__name__) from exc
    if total and done < total:
        raise _PassingError(f"the connection ended after {done} of {total} bytes")
    if expected and hashed.hexdigest() != expected:
        found = f"{algorithm}:{hashed.hexdigest()}"
        raise PreflightError(
            f"{url}: wrong digest, {found} instead of {digest}", hint="Do not use this file; see who else has met it."
        )
