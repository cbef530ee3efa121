# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Doubles for what is outside: a mirror on loopback, release archives, and an ``mvn`` that serves from a folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import ssl
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import Artifact
from ansible_collections.labctl.stacks.plugins.module_utils.store.download import Rules
from ansible_collections.labctl.stacks.plugins.module_utils.store.jars import Jar
from ansible_collections.labctl.stacks.plugins.module_utils.store.selection import Selection
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.archive import ArchiveSource
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.base import Source, Where
from ansible_collections.labctl.stacks.plugins.module_utils.store.sources.maven import MavenSource

#: What a mirror does with a request.
Answer = Callable[[BaseHTTPRequestHandler], None]

QUICK = Rules(schemes=("http",), timeout=2.0, attempts=3, pause=0.0)


def sends(body: bytes, *, status: int = 200, length: int | None = None) -> Answer:
    """Answer with a body, possibly of another length than is announced."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body) if length is None else length))
        request.end_headers()
        request.wfile.write(body)

    return answer


def ranged(body: bytes, etag: str = '"one"', *, cut: int | None = None, dated: bool = False) -> Answer:
    """Answer as a server that can go on: with the rest, if it is asked for a file it still has. ``cut`` breaks off."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        mark = "Sun, 22 Nov 2026 10:00:00 GMT" if dated else etag
        asked = request.headers.get("Range", "")
        start = int(asked[6:-1]) if asked and request.headers.get("If-Range") == mark else 0
        request.send_response(206 if start else 200)
        request.send_header("Last-Modified" if dated else "ETag", mark)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        request.wfile.write(body[start:cut])

    return answer


def redirects(url: str) -> Answer:
    """Answer with a redirect."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", url)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


class Mirror:
    """A server on 127.0.0.1; ``routes`` maps a path to answers, one a request, the last for all that follow."""

    def __init__(self, server: ThreadingHTTPServer, scheme: str) -> None:
        self.base = f"{scheme}://127.0.0.1:{server.server_address[1]}"
        self.routes: dict[str, list[Answer]] = {}
        self.requests: list[str] = []
        self.ranges: list[str] = []  # of each request, what it asked for, "" for all

    def url(self, path: str, *answers: Answer) -> str:
        self.routes[path] = list(answers)
        return self.base + path


@contextmanager
def mirror(context: ssl.SSLContext | None = None) -> Iterator[Mirror]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests.append(self.path)
            served.ranges.append(self.headers.get("Range", ""))
            answers = served.routes.get(self.path, [sends(b"", status=404)])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            try:
                answer(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    served = Mirror(server, "https" if context else "http")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def member(name: str, content: bytes = b"", **attributes: object) -> tuple[tarfile.TarInfo, bytes]:
    """A tar member, a regular file unless ``type`` says otherwise."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def tar(*members: tuple[tarfile.TarInfo, bytes], compressed: bool = True) -> bytes:
    """A tar whose bytes are the same in every process."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0) if compressed else out.getvalue()


def zipped(*members: tuple[str, bytes, int]) -> bytes:
    """A zip of (name, content, mode with its type)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return out.getvalue()


RELEASE = tar(
    member("thing-1/share/lib/a.jar", b"a" * 5000),
    member("thing-1/share/lib/b.jar", b"b" * 3000),
    member("thing-1/bin/tool", b"#!/bin/sh\n", mode=0o755),
    member("thing-1/doc/index.html", b"not taken"),
)
SELECT = Selection((("thing-1/share/lib/*.jar", "lib"), ("thing-1/bin/**", "bin")))


def sha512(body: bytes) -> str:
    return f"sha512:{hashlib.sha512(body).hexdigest()}"


WHERE = Where(Path("thing.yml"), "thing", "1", "x86_64", "MIT")


def archive(*urls: str, digest: str = sha512(RELEASE), name: str = "archive") -> ArchiveSource:
    kind = type("Named", (ArchiveSource,), {"name": name})
    made: ArchiveSource = kind(WHERE, urls, digest, 1 << 20, SELECT)
    return made


def artifact(*sources: Source) -> Artifact:
    return Artifact("thing", "1", "x86_64", sources)


def jar(name: str, content: bytes) -> Jar:
    return Jar("org.example", name, "1.0", "", hashlib.sha256(content).hexdigest(), len(content))


def maven(folder: Path, *jars: Jar, files: Path | None = None) -> MavenSource:
    return MavenSource(WHERE, "org.example:plugin:1", folder / "x.lock", jars, (("*:examples", "examples"),), files)


MVN = """\
#!{python}
import pathlib, re, shutil, sys, time
options = dict(word[2:].split("=", 1) for word in sys.argv if word.startswith("-D") and "=" in word)
pom = pathlib.Path(sys.argv[sys.argv.index("--file") + 1]).read_text()
registry, out = pathlib.Path({registry!r}), pathlib.Path(options["outputDirectory"])
out.mkdir()
asked = re.findall(r"<artifactId>([^<]+)</artifactId><version>([^<]+)</version>", pom.replace("\\n", ""))[1:]
with open(registry / "asked", "a") as log:
    log.write(" ".join(name for name, _ in asked) + "\\n")
if (registry / "hang").exists():
    (registry / "pid").write_text(str(__import__("os").getpid()))
    time.sleep(60)
kind = "zip" if "<type>zip</type>" in pom else "jar"
for name, version in asked:
    file = registry / f"{{name}}-{{version}}.{{kind}}"
    if not file.exists():
        print(f"[ERROR] Could not find artifact org.example:{{name}}:{{kind}}:{{version}} -> [Help 1]")
        sys.exit(1)
    shutil.copy(file, out)
for extra in registry.glob("extra-*.jar"):
    shutil.copy(extra, out)
"""


class Registry:
    """What the ``mvn`` double serves, and what it was asked for."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder = folder / "registry"
        self.bin = folder / "bin"
        self.folder.mkdir()
        self.bin.mkdir()
        program = self.bin / "mvn"
        program.write_text(MVN.format(python=python, registry=str(self.folder)))
        program.chmod(0o755)

    def put(self, name: str, content: bytes) -> Jar:
        (self.folder / f"{name}-1.0.jar").write_bytes(content)
        return jar(name, content)

    @property
    def asked(self) -> list[str]:
        log = self.folder / "asked"
        return log.read_text().splitlines() if log.exists() else []


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's TLS contexts for 127.0.0.1."""
    assert shutil.which("openssl")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return server, ssl.create_default_context(cafile=cert)
