# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of Kubernetes' API, against a small https server that wants client certificates: a double."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils import kubeapi
from ansible_collections.labctl.stacks.plugins.module_utils.kubeapi import KubeApi, KubeError, fields_of
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


class Authority:
    """An authority that lives as long as a test."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._made("authority", self.key.public_key(), ca=True)

    def _made(self, name: str, key: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )
        if ca:
            usage = dict.fromkeys(
                (
                    "content_commitment",
                    "key_encipherment",
                    "data_encipherment",
                    "key_agreement",
                    "encipher_only",
                    "decipher_only",
                ),
                False,
            )
            builder = builder.add_extension(
                x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **usage), critical=True
            )
        return builder.sign(self.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)

    def issue(self, name: str) -> tuple[bytes, bytes]:
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return self._made(name, key.public_key(), ca=False).public_bytes(PEM), private


class Api(ThreadingHTTPServer):
    """Answers by ``answers``, (method, path without query) -> (status, body); keeps what it was asked."""

    daemon_threads = True

    def __init__(self, authority: Authority, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}
        self.asked: list[tuple[str, str, str, Any]] = []
        self.users: list[str] = []
        self.connections = 0
        #: Requests that are swallowed, with their connection, before one is answered.
        self.drop = 0
        certificate, key = authority.issue("server")
        (folder / "server.pem").write_bytes(certificate + key)
        (folder / "ca.pem").write_bytes(authority.pem)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
        context.load_cert_chain(folder / "server.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Api

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.drop:
            self.server.drop -= 1
            self.close_connection = True
            return
        subject = dict(field[0] for field in self.connection.getpeercert()["subject"])  # type: ignore[attr-defined]
        self.server.users.append(subject["commonName"])
        path, _, query = self.path.partition("?")
        kind = self.headers.get("Content-Type", "")
        self.server.asked.append((self.command, path, f"{kind} {query}".strip(), json.loads(body) if body else None))
        status, answer = self.server.answers.get((self.command, path), (404, {"message": f"{path} not found"}))
        text = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PATCH = do_POST = do_DELETE = _answer  # noqa: N815

    def log_message(self, *args: Any) -> None:
        return


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def api(authority: Authority, tmp_path: Path) -> Iterator[Api]:
    server = Api(authority, tmp_path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def kubeconfig(path: Path, server: str, trusted: Authority, user: tuple[bytes, bytes]) -> str:
    """A file as kubeadm writes it."""
    data = {name: base64.b64encode(value).decode() for name, value in
            (("ca", trusted.pem), ("certificate", user[0]), ("key", user[1]))}  # fmt: skip
    path.write_text(
        f"apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {data['ca']}\n    server: {server}\n"
        "  name: kubernetes\ncontexts: []\nkind: Config\nusers:\n- name: kubernetes-admin\n  user:\n"
        f"    client-certificate-data: {data['certificate']}\n    client-key-data: {data['key']}\n"
    )
    return str(path)


@pytest.fixture
def client(api: Api, authority: Authority, tmp_path: Path) -> Iterator[KubeApi]:
    path = kubeconfig(tmp_path / "admin.conf", api.url, authority, authority.issue("admin"))
    client = KubeApi(path, timeout=5)
    yield client
    client.close()


DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}}
APPS = {"resources": [{"name": "deployments", "kind": "Deployment", "namespaced": True},
                      {"name": "deployments/scale", "kind": "Scale", "namespaced": True}]}  # fmt: skip
CORE = {"resources": [{"name": "namespaces", "kind": "Namespace", "namespaced": False},
                      {"name": "configmaps", "kind": "ConfigMap", "namespaced": True}]}  # fmt: skip


def test_it_is_the_user_of_the_file_and_keeps_one_connection(api: Api, client: KubeApi) -> None:
    api.answers[("GET", "/version")] = (200, {"gitVersion": "v1.37.2"})
    api.answers[("GET", "/readyz")] = (200, "ok")
    assert client.get("/version") == {"gitVersion": "v1.37.2"}
    assert client.ready() == ""
    assert api.users == ["admin", "admin"]
    assert api.connections == 1


def test_a_server_of_another_authority_is_not_spoken_to(api: Api, authority: Authority, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "other.conf", api.url, Authority(), authority.issue("admin"))
    with pytest.raises(KubeError, match=r"does not answer: .*certificate") as caught:
        KubeApi(path).get("/version")
    assert caught.value.passing, "its certificate may be made anew this moment"
    assert api.asked == []


def test_a_user_of_another_authority_gets_no_answer(api: Api, authority: Authority, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "stranger.conf", api.url, authority, Authority().issue("admin"))
    with pytest.raises(KubeError, match="does not answer"):
        KubeApi(path, timeout=5).get("/version")
    assert api.asked == []


def test_another_address_replaces_the_files(api: Api, authority: Authority, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "admin.conf", "https://192.0.2.1:6443", authority, authority.issue("admin"))
    api.answers[("GET", "/version")] = (200, {})
    assert KubeApi(path, server=api.url).get("/version") == {}


def test_what_the_api_says_is_the_error(api: Api, client: KubeApi) -> None:
    api.answers[("POST", "/api/v1/namespaces")] = (
        409,
        {"message": 'namespaces "a"\n already exists', "reason": "AlreadyExists"},
    )
    with pytest.raises(KubeError, match='POST /api/v1/namespaces: namespaces "a" already exists') as caught:
        client.call("POST", "/api/v1/namespaces?dryRun=All", {})
    assert (caught.value.status, caught.value.reason, caught.value.passing) == (409, "AlreadyExists", False)
    api.answers[("GET", "/readyz")] = (500, "[-]etcd failed\nreadyz check failed")
    assert client.ready() == "GET /readyz: [-]etcd failed readyz check failed"


def test_what_is_not_there_is_none_and_nothing_to_delete(api: Api, client: KubeApi) -> None:
    assert client.get("/api/v1/namespaces/x") is None
    assert client.delete("/api/v1/namespaces/x") is False
    api.answers[("DELETE", "/api/v1/namespaces/y")] = (200, {})
    assert client.delete("/api/v1/namespaces/y") is True
    assert api.asked[-1][3]["propagationPolicy"] == "Foreground"
    api.answers[("GET", "/api/v1/nodes")] = (200, {"items": None})
    assert client.items("/api/v1/nodes") == []
    api.answers[("GET", "/api/v1/secrets")] = (403, {"message": "forbidden"})
    with pytest.raises(KubeError, match="forbidden"):
        client.get("/api/v1/secrets")


def test_an_idle_connection_that_was_closed_is_opened_again(api: Api, client: KubeApi) -> None:
    api.answers[("GET", "/version")] = (200, {})
    client.get("/version")
    api.drop = 1
    assert client.get("/version") == {}
    assert api.connections == 2


def test_what_may_have_been_done_is_not_asked_twice(api: Api, client: KubeApi) -> None:
    api.answers[("GET", "/version")] = (200, {})
    api.answers[("POST", "/api/v1/namespaces")] = (201, {})
    client.get("/version")
    api.drop = 1
    with pytest.raises(KubeError, match="does not answer"):
        client.call("POST", "/api/v1/namespaces", {"metadata": {"name": "a"}})
    assert client.call("POST", "/api/v1/namespaces", {"metadata": {"name": "a"}}) == {}


def test_an_object_lies_where_its_kind_says(api: Api, client: KubeApi) -> None:
    api.answers[("GET", "/apis/apps/v1")] = (200, APPS)
    api.answers[("GET", "/api/v1")] = (200, CORE)
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    assert client.path_of(DEPLOYMENT) == "/apis/apps/v1/namespaces/shop/deployments/web"
    assert client.path_of(space) == "/api/v1/namespaces/shop"
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a/../b"}}
    assert client.path_of(config).startswith("/api/v1/namespaces/default/configmaps/a")
    assert [path for _, path, _, _ in api.asked] == ["/apis/apps/v1", "/api/v1"], "kinds are asked for once"
    with pytest.raises(KubeError, match="the API has no Gadget of v1") as caught:
        client.path_of({"apiVersion": "v1", "kind": "Gadget", "metadata": {"name": "a"}})
    assert caught.value.status == 404
    for broken in ({}, {"apiVersion": "v1", "kind": "ConfigMap"}, {"kind": "ConfigMap", "metadata": {"name": "a"}}):
        with pytest.raises(KubeError, match=r"needs apiVersion, kind and metadata\.name"):
            client.path_of(broken)


def test_a_kind_that_came_since_is_found(api: Api, client: KubeApi) -> None:
    api.answers[("GET", "/api/v1")] = (200, {"resources": []})
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    with pytest.raises(KubeError):
        client.path_of(config)
    api.answers[("GET", "/api/v1")] = (200, CORE)
    assert client.path_of(config) == "/api/v1/namespaces/default/configmaps/a"


@pytest.mark.parametrize("dry_run", [False, True])
def test_apply_is_server_side_in_our_name(api: Api, client: KubeApi, dry_run: bool) -> None:
    api.answers[("GET", "/apis/apps/v1")] = (200, APPS)
    api.answers[("PATCH", "/apis/apps/v1/namespaces/shop/deployments/web")] = (200, {**DEPLOYMENT, "status": {}})
    assert client.apply(DEPLOYMENT, dry_run=dry_run)["status"] == {}
    method, path, how, body = api.asked[-1]
    assert (method, path, body) == ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/web", DEPLOYMENT)
    kind, _, query = how.partition(" ")
    assert kind == "application/apply-patch+yaml"
    assert ("dryRun=All" in query.split("&")) == dry_run
    assert {"fieldManager=labctl", "force=true"} <= set(query.split("&"))


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(KubeError, match=r"not/there: .*No such file"):
        KubeApi(str(tmp_path / "not/there"))
    with pytest.raises(KubeError, match="does not name a server, its authority, a certificate and its key"):
        fields_of("apiVersion: v1\n")
    path = tmp_path / "bad.conf"
    kubeconfig(path, "https://127.0.0.1:1", authority, authority.issue("admin"))
    path.write_text(path.read_text().replace("client-key-data: ", "client-key-data: AAAA"))
    with pytest.raises(KubeError, match=r"bad\.conf: "):
        KubeApi(str(path))
    kubeconfig(path, "https://127.0.0.1:1", authority, authority.issue("admin"))
    with pytest.raises(KubeError, match=r"https://127.0.0.1:1 does not answer: .*refused"):
        KubeApi(str(path)).get("/version")


def test_waiting_ends_when_all_is_well_or_the_time_is_over_or_it_is_hopeless() -> None:
    told = ["not yet", "not yet", ""]
    assert kubeapi.wait(lambda: told.pop(0), seconds=5, pause=0) == ""
    assert kubeapi.wait(lambda: "never", seconds=0, pause=0) == "never"

    def busy() -> str:
        raise KubeError("busy", 503)

    def refused() -> str:
        raise KubeError("forbidden", 403)

    assert kubeapi.wait(busy, seconds=0, pause=0) == "busy"
    with pytest.raises(KubeError, match="forbidden"):
        kubeapi.wait(refused, seconds=5, pause=0)
