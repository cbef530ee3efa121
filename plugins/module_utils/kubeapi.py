# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the few calls of Kubernetes' API that its modules need, as the user of a kubeconfig file.

Runs on hosts: standard library only, Python 3.8 and newer. A call costs milliseconds where kubectl pays a process and
a round of discovery. Source: https://kubernetes.io/docs/reference/using-api/api-concepts/.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import json
import os
import re
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Who our server-side apply says it is.
MANAGER = "labctl"
ADMIN = "/etc/kubernetes/admin.conf"
#: Options of modules that act on a cluster; see the doc fragment ``labctl.stacks.kubernetes``.
KUBE_OPTIONS: dict[str, Any] = {
    "kubeconfig": {"type": "path", "default": ADMIN},
    "server": {"type": "str", "default": ""},
    "kubectl": {"type": "path", "default": "/opt/kubernetes/bin/kubectl"},
}
JSON, APPLY, MERGE = "application/json", "application/apply-patch+yaml", "application/merge-patch+json"


class KubeError(Exception):
    """A call that failed: what was asked and what the API said. ``status`` is None where nothing answered."""

    def __init__(self, message: str, status: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason

    @property
    def passing(self) -> bool:
        """Whether the server is only not there yet, or too busy, so that asking again may help."""
        return self.status is None or self.status in (429, 500, 502, 503, 504)


def fields_of(kubeconfig: str) -> dict[str, bytes | str]:
    """Server, authority, certificate and key of the text of a kubeconfig file with one cluster and one user, as kubeadm
    and kubelet write it; the last three as PEM, read where the file names files. KubeError for another."""
    pairs = re.findall(r"^\s+(server|[a-z-]+(?:-data)?):[ \t]*[\"']?([^\s\"']+)", kubeconfig, re.MULTILINE)
    told = dict(pairs)
    found: dict[str, bytes | str] = {}
    for name in ("certificate-authority", "client-certificate", "client-key"):
        if f"{name}-data" in told:
            found[name] = base64.b64decode(told[f"{name}-data"])
        elif name in told:
            found[name] = Path(told[name]).read_bytes()
    found["server"] = told.get("server", "")
    if len(found) < 4 or not found["server"]:
        raise KubeError("the kubeconfig file does not name a server, its authority, a certificate and its key")
    return found


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    """A path in memory for what ssl takes from files only."""
    descriptor = os.memfd_create("labctl")
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value


class KubeApi:
    """Kubernetes' API as the user of a kubeconfig file; ``server`` replaces the address that stands in it.

    Raises KubeError where the file cannot be read. ``timeout`` in seconds is for each call.
    """

    def __init__(self, kubeconfig: str = ADMIN, server: str = "", timeout: float = 15) -> None:
        try:
            fields = fields_of(Path(kubeconfig).read_text(encoding="utf-8"))
            self._context = ssl.create_default_context(cadata=_text(fields["certificate-authority"]))
            with _file(_bytes(fields["client-certificate"])) as certificate, _file(_bytes(fields["client-key"])) as key:
                self._context.load_cert_chain(certificate, key)
        except (OSError, ValueError, binascii.Error) as exc:
            raise KubeError(f"{kubeconfig}: {exc}") from exc
        self.server = server or _text(fields["server"])
        self.timeout = timeout
        self._connection: http.client.HTTPSConnection | None = None
        self._resources: dict[str, dict[str, tuple[str, bool]]] = {}

    def call(self, method: str, path: str, body: Any = None, *, content: str = JSON, timeout: float = 0) -> Any:
        """The parsed answer; text where it is not JSON. KubeError with the API's own words otherwise.

        ``path`` begins with a slash and holds the query.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": JSON, "Content-Type": content}
        try:
            status, text = self._exchange(method, path, data, headers, timeout or self.timeout)
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            raise KubeError(f"{self.server} does not answer: {exc or type(exc).__name__}") from exc
        try:
            answer = json.loads(text)
        except ValueError:
            answer = text.decode(errors="replace")
        if status >= 400:
            told = answer if isinstance(answer, dict) else {"message": answer}
            message = " ".join(str(told.get("message", "")).split())[:1500]
            raise KubeError(f"{method} {path.partition('?')[0]}: {message}", status, str(told.get("reason", "")))
        return answer

    def _exchange(
        self, method: str, path: str, data: bytes | None, headers: dict[str, str], timeout: float
    ) -> tuple[int, bytes]:
        for again in (False, True):
            fresh = self._connection is None
            if self._connection is None:
                where = urllib.parse.urlsplit(self.server)
                self._connection = http.client.HTTPSConnection(
                    where.hostname or "", where.port or 443, timeout=timeout, context=self._context
                )
            if self._connection.sock is not None:
                self._connection.sock.settimeout(timeout)
            self._connection.timeout = timeout
            try:
                self._connection.request(method, path, data, headers)
                answer = self._connection.getresponse()
                return answer.status, answer.read()
            except (ConnectionError, http.client.RemoteDisconnected):
                # The server closes what was idle; nothing of a request that it did not answer at all was done.
                self.close()
                if fresh or again or method == "POST":
                    raise
        raise AssertionError("not reached")

    def close(self) -> None:
        """Close the connection; the next call opens one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path: str) -> Any:
        """The object at a path; None where there is none."""
        try:
            return self.call("GET", path)
        except KubeError as exc:
            if exc.status == 404:
                return None
            raise

    def items(self, path: str) -> list[dict[str, Any]]:
        """The objects of a list."""
        return list(self.call("GET", path).get("items") or [])

    def delete(self, path: str) -> bool:
        """Delete the object at a path; whether there was one. What depends on it goes too."""
        try:
            self.call("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"})
        except KubeError as exc:
            if exc.status == 404:
                return False
            raise
        return True

    def path_of(self, item: dict[str, Any]) -> str:
        """Where an object lies, by its apiVersion, kind, name and namespace. KubeError for a kind the API lacks."""
        version, kind = str(item.get("apiVersion", "")), str(item.get("kind", ""))
        name = str(item.get("metadata", {}).get("name", ""))
        if not (version and kind and name):
            raise KubeError("an object needs apiVersion, kind and metadata.name", 422)
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if kind not in self._resources.get(version, {}):
            # Asked again: a CustomResourceDefinition may have come since.
            listed = (self.get(base) or {}).get("resources", [])
            self._resources[version] = {
                one["kind"]: (one["name"], one["namespaced"]) for one in listed if "/" not in one["name"]
            }
        if kind not in self._resources[version]:
            raise KubeError(f"the API has no {kind} of {version}", 404, "NoKind")
        plural, namespaced = self._resources[version][kind]
        space = f"/namespaces/{item['metadata'].get('namespace') or 'default'}" if namespaced else ""
        return f"{base}{space}/{plural}/{urllib.parse.quote(name)}"

    def apply(self, item: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Server-side apply; the object as it is then. ``dry_run`` changes nothing."""
        query = {"fieldManager": MANAGER, "force": "true", **({"dryRun": "All"} if dry_run else {})}
        path = f"{self.path_of(item)}?{urllib.parse.urlencode(query)}"
        return dict(self.call("PATCH", path, item, content=APPLY))

    def merge(self, item: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        """Put the fields of an object that exists in place of its own, lists as a whole; the object as it is then."""
        query = {"fieldManager": MANAGER, **({"dryRun": "All"} if dry_run else {})}
        path = f"{self.path_of(item)}?{urllib.parse.urlencode(query)}"
        return dict(self.call("PATCH", path, item, content=MERGE))

    def ready(self) -> str:
        """ "" where the server says it is ready, else what is wrong."""
        try:
            return "" if self.call("GET", "/readyz", timeout=5) == "ok" else "not ready"
        except KubeError as exc:
            return str(exc)


def wait(step: Callable[[], str], seconds: float, pause: float = 0.2) -> str:
    """Look until ``step`` finds nothing wrong or the time is over; "" or what was last wrong."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            wrong = step()
        except KubeError as exc:
            if not exc.passing:
                raise
            wrong = str(exc)
        if not wrong or time.monotonic() >= deadline:
            return wrong
        time.sleep(pause)
