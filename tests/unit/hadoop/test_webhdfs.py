# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The REST client against a double of the NameNode's web server, which answers as WebHDFS documents it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.webhdfs import RestError, WebHdfs, get_json
from ansible_collections.labctl.stacks.plugins.modules.hdfs_directories import apply, found, wanted


class NameNodeDouble(BaseHTTPRequestHandler):
    """Folders of a file system in a dictionary: path -> FileStatus. MKDIRS drops the sticky bit, as HDFS does."""

    folders: dict[str, dict[str, Any]]

    def answer(self, code: int, body: Any) -> None:
        payload = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def call(self) -> None:
        url = urlsplit(self.path)
        query = {key: value[0] for key, value in parse_qs(url.query).items()}
        path = unquote(url.path).removeprefix("/webhdfs/v1")
        if query.get("user.name") != "hdfs":
            self.answer(
                403, {"RemoteException": {"exception": "AccessControlException", "message": "Permission denied\nat X"}}
            )
        elif query["op"] == "GETFILESTATUS" and path not in self.folders:
            self.answer(404, {"RemoteException": {"exception": "FileNotFoundException", "message": "no such path"}})
        elif query["op"] == "GETFILESTATUS":
            self.answer(200, {"FileStatus": self.folders[path]})
        elif query["op"] == "MKDIRS":
            self.folders[path] = {
                "owner": "hdfs",
                "group": "supergroup",
                "permission": query["permission"][-3:],
                "type": "DIRECTORY",
            }
            self.answer(200, {"boolean": True})
        elif query["op"] == "SETPERMISSION":
            self.folders[path]["permission"] = query["permission"]
            self.answer(200, {})
        elif query["op"] == "SETOWNER":
            self.folders[path].update(owner=query["owner"], group=query["group"])
            self.answer(200, {})

    do_GET = do_PUT = call  # noqa: N815 - the names http.server looks for

    def log_message(self, *_args: Any) -> None:
        """Quiet."""


@pytest.fixture
def namenode() -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    folders: dict[str, dict[str, Any]] = {}
    handler = type("Handler", (NameNodeDouble,), {"folders": folders})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folders
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_missing_folder_is_made_with_owner_and_sticky_mode(namenode: tuple[str, dict[str, dict[str, Any]]]) -> None:
    url, folders = namenode
    hdfs = WebHdfs(url, "hdfs")
    after = wanted({"owner": "yarn", "group": "hadoop", "mode": "1777"})
    assert found(hdfs, "/app logs") is None
    apply(hdfs, "/app logs", None, after)
    assert found(hdfs, "/app logs") == after == {"owner": "yarn", "group": "hadoop", "permission": "1777"}
    assert set(folders) == {"/app logs"}


def test_leading_zeros_of_a_mode_do_not_make_a_difference(namenode: tuple[str, dict[str, dict[str, Any]]]) -> None:
    url, folders = namenode
    folders["/user"] = {"owner": "hdfs", "group": "hadoop", "permission": "755", "type": "DIRECTORY"}
    assert found(WebHdfs(url, "hdfs"), "/user") == wanted({"owner": "hdfs", "group": "hadoop", "mode": "0755"})


def test_a_file_in_the_way_is_named(namenode: tuple[str, dict[str, dict[str, Any]]]) -> None:
    url, folders = namenode
    folders["/user"] = {"owner": "hdfs", "group": "hadoop", "permission": "644", "type": "FILE"}
    with pytest.raises(RestError, match="/user exists in HDFS and is no folder"):
        found(WebHdfs(url, "hdfs"), "/user")


def test_errors_carry_the_servers_own_words_in_a_line(namenode: tuple[str, dict[str, dict[str, Any]]]) -> None:
    url, _ = namenode
    with pytest.raises(RestError, match=r"HTTP 403: Permission denied$") as caught:
        WebHdfs(url, "ada").status("/user")
    assert caught.value.status == 403


def test_nobody_there_is_an_error_without_a_status() -> None:
    with pytest.raises(RestError, match="Connection refused") as caught:
        get_json("http://127.0.0.1:1/jmx")
    assert caught.value.status is None
