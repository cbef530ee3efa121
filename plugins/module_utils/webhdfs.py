# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the few calls of Hadoop's REST interfaces that its modules need. Runs on hosts.

WebHDFS: https://hadoop.apache.org/docs/r3.5.0/hadoop-project-dist/hadoop-hdfs/WebHDFS.html. A call costs
milliseconds where the command line pays a second and more for a Java virtual machine.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any


class RestError(Exception):
    """A call that failed: what was asked, and what the server or the network said."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def request(method: str, url: str, body: bytes | None = None, timeout: float = 30.0) -> bytes:
    """The answer's body; RestError with the server's own words otherwise. ``timeout`` in seconds."""
    headers = {"Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/octet-stream"
    call = urllib.request.Request(url, data=body, method=method, headers=headers)  # noqa: S310 - http of our own daemons
    # Proxies of the environment are for the world outside; the daemons stand in the cluster.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(call, timeout=timeout) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as exc:
        raise RestError(f"{method} {url}: HTTP {exc.code}: {_reason(exc)}", exc.code) from exc
    except (OSError, ValueError) as exc:
        raise RestError("{} {}: {}".format(method, url, getattr(exc, "reason", exc))) from exc


def _reason(exc: urllib.error.HTTPError) -> str:
    text = exc.read(4096).decode("utf-8", "replace")
    try:
        return str(json.loads(text)["RemoteException"]["message"]).splitlines()[0]
    except (ValueError, KeyError, TypeError, IndexError):
        return exc.reason if "<" in text or not text.strip() else text.strip().splitlines()[0]


def get_json(url: str) -> Any:
    """The answer to a GET, parsed; RestError where it is not JSON."""
    text = request("GET", url)
    try:
        return json.loads(text)
    except ValueError as exc:
        raise RestError(f"GET {url}: the answer is not JSON: {text[:80]!r}") from exc


class WebHdfs:
    """HDFS as one user, by the NameNode's REST interface at ``url`` (http://host:port)."""

    def __init__(self, url: str, user: str) -> None:
        self.url = url.rstrip("/")
        self.user = user

    def _address(self, path: str, op: str, **query: str) -> str:
        query.update({"op": op, "user.name": self.user})
        return f"{self.url}/webhdfs/v1{urllib.parse.quote(path)}?{urllib.parse.urlencode(query)}"

    def status(self, path: str) -> dict[str, Any] | None:
        """The FileStatus of ``path`` (owner, group, permission in octal, type, length), or None where nothing is."""
        try:
            return dict(get_json(self._address(path, "GETFILESTATUS"))["FileStatus"])
        except RestError as exc:
            if exc.status == 404:
                return None
            raise

    def mkdirs(self, path: str, permission: str) -> None:
        request("PUT", self._address(path, "MKDIRS", permission=permission))

    def set_permission(self, path: str, permission: str) -> None:
        request("PUT", self._address(path, "SETPERMISSION", permission=permission))

    def set_owner(self, path: str, owner: str, group: str) -> None:
        request("PUT", self._address(path, "SETOWNER", owner=owner, group=group))

    def create(self, path: str, content: bytes, block_size: int) -> None:
        """Write a new file; ``block_size`` in bytes."""
        where = request("PUT", self._address(path, "CREATE", noredirect="true", blocksize=str(block_size)))
        request("PUT", json.loads(where)["Location"], body=content, timeout=120)

    def read(self, path: str) -> bytes:
        where = json.loads(request("GET", self._address(path, "OPEN", noredirect="true")))
        return request("GET", where["Location"], timeout=120)

    def names(self, path: str) -> list[str]:
        """The names of what stands in the folder ``path``."""
        listing = get_json(self._address(path, "LISTSTATUS"))
        return [entry["pathSuffix"] for entry in listing["FileStatuses"]["FileStatus"]]

    def block_hosts(self, path: str) -> list[list[str]]:
        """For each block of the file, the hosts that hold a replica."""
        answer = get_json(self._address(path, "GETFILEBLOCKLOCATIONS"))
        return [list(block["hosts"]) for block in answer["BlockLocations"]["BlockLocation"]]

    def delete(self, path: str) -> bool:
        """Remove ``path`` with all below it; False where nothing was."""
        answer = json.loads(request("DELETE", self._address(path, "DELETE", recursive="true")))
        return bool(answer["boolean"])
