# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the verifier's look at manifests, files, folders and installed trees; see verify.py.

Runs on hosts, sent by labctl: standard library only, Python 3.8 and newer, and of that only what is quick to import.
"""

from __future__ import annotations

import os
import stat
import time

try:
    from _sha2 import sha256  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    from hashlib import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ROOT = "/var/lib/labctl"
VERSION = 1
#: Nanoseconds: a file touched so shortly before it was read gets no seal.
RACY = 2 * 10**9
#: Characters of a value that a report shows.
SHOWN = 160
BIG = 1 << 20


class Files:
    """One look at a host, as far as files go. ``request`` is a dictionary, ``root`` where the manifests are."""

    def __init__(self, request: dict[str, Any], root: str = ROOT) -> None:
        self.root = root
        self.old: dict[str, str] = request.get("seals") or {}
        self.seals: dict[str, str] = {}
        self.drift: list[tuple[str, str, str, str, str, str]] = []
        self.skipped: list[str] = []
        self.texts: dict[str, bytes] = {}
        self.roles: dict[str, dict[str, Any]] = {}
        self.role = ""
        self.key: bytes | None = None
        self.declared: set[str] = set()
        self.group = ""
        #: Group -> kind, path, record with the expected digest, and status of each file whose content is to compare.
        self.readings: dict[str, list[tuple[str, str, dict[str, Any], os.stat_result]]] = {}
        self._cached: dict[str, Any] = {}

    def tell(self, kind: str, item: str, what: str, expected: object = "", found: object = "") -> None:
        """Note a difference."""
        self.drift.append((self.role, kind, item, what, str(expected)[:SHOWN], str(found)[:SHOWN]))

    def compare(self, kind: str, item: str, what: str, expected: object, found: object) -> None:
        """Note a difference where there is one."""
        if expected != found:
            self.tell(kind, item, what, expected, found)

    # --- manifests and file content ---------------------------------------------------------------------------------

    def load(self) -> None:
        """Read the manifests. One that is not as the modules leave it is drift and tells nothing else."""
        folder = os.path.join(self.root, "manifest.d")  # noqa: PTH118 - pathlib takes 10 ms to import
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208
        except FileNotFoundError:
            names = []
        for name in names:
            self.role, path = name[:-5], f"{folder}/{name}"
            if not name.endswith(".json") or name.startswith("."):
                continue
            try:
                status = os.lstat(path)
                text = read(path, status)
                self.texts[self.role] = text
                self.compare("manifest", path, "mode", "0600", f"{stat.S_IMODE(status.st_mode):04o}")
                self.compare("manifest", path, "owner", os.geteuid(), status.st_uid)
                document = parse(text.decode())
                if document["version"] != VERSION:
                    newer = isinstance(document["version"], int) and document["version"] > VERSION
                    raise ValueError("made by a newer labctl" if newer else "not a manifest")
                if document["role"] != self.role:
                    raise ValueError(f"it is of role {document['role']}")
                for section in document["sections"].values():
                    for record in [record for listed in section.values() for record in listed]:
                        name = record["path"] if "path" in record else record["name"]
                        if not isinstance(name, str) or not name:
                            raise ValueError("a record without path or name")
                self.roles[self.role] = document["sections"]
            except Exception as exc:  # noqa: BLE001, RUF100
                self.texts.setdefault(self.role, b"")
                self.tell("manifest", path, "cannot be used", "", words(exc))

    def settle(self) -> None:
        """Read each group of files, unless it has its seal; give it one if all are right and at rest."""
        for group, readings in self.readings.items():
            self.role = group.split(":")[0]
            rows = [row(path, record, status) for _, path, record, status in readings]
            secret = any("hmac_sha256" in record for _, _, record, _ in readings)
            if secret:
                # Under another key the same secret has another digest.
                key = lstat(f"{self.root}/manifest.key")
                rows.append(row(self.root, {}, key) if key else (self.root, time.time_ns(), time.time_ns()))
            if not self.sealed(group, rows):
                begun, before = time.time_ns(), len(self.drift)
                for reading in readings:
                    self.read_one(*reading)
                self.seal(group, rows, begun, before)
        self.readings = {}

    def sealed(self, key: str, rows: list[tuple[Any, ...]]) -> bool:
        """Whether this group of files is as it was when last read and right."""
        if self.old.get(key) != digest_of(rows):
            return False
        self.seals[key] = self.old[key]
        return True

    def seal(self, key: str, rows: list[tuple[Any, ...]], begun: int, before: int) -> None:
        """Give out a seal if no drift came up since ``before`` and nothing was touched shortly before ``begun``."""
        if len(self.drift) == before and max(max(one[-2:]) for one in rows) < begun - RACY:
            self.seals[key] = digest_of(rows)

    def read_one(self, kind: str, path: str, expected: dict[str, Any], status: os.stat_result) -> None:
        """Compare a file's content with its digest."""
        try:
            content = read(path, status)
            if "hmac_sha256" not in expected:
                self.compare(kind, path, "content", expected["sha256"], sha(content))
            elif self.hmac(content) != expected["hmac_sha256"]:
                self.tell(kind, path, "content", "the secret that was written", "another")
        except Exception as exc:  # noqa: BLE001, RUF100
            self.tell(kind, path, "cannot be checked", "", words(exc))

    def hmac(self, content: bytes) -> str:
        """HMAC-SHA256 (RFC 2104) under this host's key."""
        if self.key is None:
            path = f"{self.root}/manifest.key"
            self.key = read(path, os.lstat(path)).ljust(64, b"\0")
        inner = sha256(bytes(one ^ 0x36 for one in self.key) + content).digest()
        return str(sha256(bytes(one ^ 0x5C for one in self.key) + inner).hexdigest())

    # --- what is in the file system -----------------------------------------------------------------------------------

    def attributes(self, kind: str, record: dict[str, Any], path: str, status: os.stat_result) -> None:
        """Compare owner, group and mode, as far as they are recorded."""
        if "mode" in record:
            self.compare(kind, path, "mode", f"{int(record['mode'], 8):04o}", f"{stat.S_IMODE(status.st_mode):04o}")
        for what, number in (("owner", status.st_uid), ("group", status.st_gid)):
            if what in record and self.number(what, record[what]) != number:
                self.tell(kind, path, what, record[what], number)

    def number(self, what: str, name: str) -> int:
        """uid or gid of a name or number."""
        if name.isdigit():
            return int(name)
        listed = self.accounts("passwd" if what == "owner" else "group")
        if name in listed:
            return int(listed[name][2])
        import grp
        import pwd

        return pwd.getpwnam(name).pw_uid if what == "owner" else grp.getgrnam(name).gr_gid

    def accounts(self, name: str) -> dict[str, list[str]]:
        """/etc/passwd or /etc/group by name. The name service is asked only for what is not in them."""
        if name not in self._cached:
            lines = [line.split(":") for line in text_of(f"/etc/{name}").splitlines()]
            self._cached[name] = {line[0]: line for line in reversed(lines) if len(line) > 3}
        listed: dict[str, list[str]] = self._cached[name]
        return listed

    def see_files(self, record: dict[str, Any], path: str) -> None:
        """A file of ours."""
        status = lstat(path)
        if status is None or not stat.S_ISREG(status.st_mode):
            self.tell("file", path, "kind", "file", kind_of(status))
            return
        self.attributes("file", record, path, status)
        if "sha256" not in record and "hmac_sha256" not in record:
            raise ValueError("no digest is recorded")
        self.readings.setdefault(self.group, []).append(("file", path, record, status))

    def see_links(self, record: dict[str, Any], path: str) -> None:
        """A link of ours, and that it leads somewhere."""
        status = lstat(path)
        if status is None or not stat.S_ISLNK(status.st_mode):
            self.tell("link", path, "kind", "link", kind_of(status))
            return
        self.compare("link", path, "target", record["target"], os.readlink(path))  # noqa: PTH115

    def see_trees(self, record: dict[str, Any], root: str) -> None:
        """An installed artefact: all names and sizes; content too, unless it lies in a store that is read-only here."""
        if self._cached.get(f"tree {root}") == record["digest"]:
            return
        self._cached[f"tree {root}"] = record["digest"]
        status = lstat(root)
        if status is None or not stat.S_ISDIR(status.st_mode):
            self.tell("tree", root, "kind", "directory", kind_of(status))
            return
        files: list[tuple[str, os.stat_result]] = []
        folders = [("", status)]
        for folder, _ in folders:
            for entry in os.scandir(os.path.join(root, folder)):  # noqa: PTH118
                one = entry.stat(follow_symlinks=False)
                (folders if stat.S_ISDIR(one.st_mode) else files).append((f"{folder}{entry.name}", one))
                if stat.S_ISDIR(one.st_mode):
                    folders[-1] = (f"{folder}{entry.name}/", one)
        files.sort()
        sizes = sorted(f"{one.st_size if stat.S_ISREG(one.st_mode) else -1}  {name}\n" for name, one in files)
        if digest_of(sizes) != record["listing"]:
            self.tell("tree", root, "names and sizes", record["listing"], digest_of(sizes))
            return
        if not record["pushed"] and os.statvfs(root).f_flag & os.ST_RDONLY:
            return
        for name, one in files + folders:
            if record["pushed"] and (one.st_uid != os.geteuid() or one.st_mode & 0o022):
                self.tell("tree", f"{root}/{name}", "owner or mode", "root's alone to write")
        filled = {f"{name[: at + 1]}" for name, _ in files for at, char in enumerate(name) if char == "/"}
        for name, _ in folders:
            if name and name not in filled:
                self.tell("tree", f"{root}/{name}", "stray folder")
        rows = [row(name, record, one) for name, one in files]
        key = f"{self.role}:tree {root}"
        if not self.sealed(key, rows):
            begun, before = time.time_ns(), len(self.drift)
            lines = [
                f"{sha256_big(f'{root}/{name}', one)}  {stat.S_IMODE(one.st_mode):04o}  {name}\n" for name, one in files
            ]
            self.compare("tree", root, "content", record["digest"], digest_of(sorted(lines)))
            self.seal(key, rows, begun, before)

    def see_directories(self, record: dict[str, Any], path: str) -> None:
        """A folder; in a closed one, every file that nobody declared."""
        status = lstat(path)
        if status is None or not stat.S_ISDIR(status.st_mode):
            self.tell("directory", path, "kind", "directory", kind_of(status))
            return
        self.attributes("directory", record, path, status)
        if record.get("kind") == "closed":
            for entry in os.scandir(path):
                if not entry.is_dir(follow_symlinks=False) and entry.path not in self.declared:
                    self.tell("file", entry.path, "stray file", "absent", "present")


def words(exc: Exception) -> str:
    """An error in a line."""
    if isinstance(exc, OSError) and exc.strerror:
        return f"{exc.strerror}: {exc.filename}" if exc.filename else exc.strerror
    return f"{type(exc).__name__}: {exc}"


def lstat(path: str) -> os.stat_result | None:
    """What stands at a path, None for nothing."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def kind_of(status: os.stat_result | None) -> str:
    """The kind of what stands somewhere, in the manifest's words."""
    if status is None:
        return "absent"
    kinds = {stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFDIR: "directory"}
    return kinds.get(stat.S_IFMT(status.st_mode), "other")


def opened(path: str, status: os.stat_result) -> int:
    """A descriptor of the very file that ``status`` is of; OSError if another, or no regular file, stands there now."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        number = os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        number = os.open(path, flags)
    now = os.fstat(number)
    if (now.st_dev, now.st_ino) != (status.st_dev, status.st_ino) or not stat.S_ISREG(now.st_mode):
        os.close(number)
        raise OSError(f"{path} is no regular file, or was replaced while it was looked at")
    return number


def read(path: str, status: os.stat_result) -> bytes:
    """A whole file."""
    with os.fdopen(opened(path, status), "rb", 0) as stream:
        return bytes(stream.read())


def sha256_big(path: str, status: os.stat_result) -> str:
    """The sha256 of a file of any size, by the quickest implementation there is."""
    from hashlib import sha256 as quick

    digest = quick()
    with os.fdopen(opened(path, status), "rb", 0) as stream:
        for block in iter(lambda: stream.read(BIG), b""):
            digest.update(block)
    return digest.hexdigest()


def text_of(path: str) -> str:
    """A text file."""
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:  # noqa: PTH123
        return stream.read()


def row(path: str, expected: dict[str, Any], status: os.stat_result) -> tuple[Any, ...]:
    """What a seal covers of one file; the two times come last."""
    digest = expected.get("hmac_sha256") or expected.get("sha256") or expected.get("digest")
    numbers = (status.st_dev, status.st_ino, status.st_size, status.st_mode, status.st_uid, status.st_gid)
    return (path, digest, *numbers, status.st_mtime_ns, status.st_ctime_ns)


def sha(content: bytes) -> str:
    """sha256 in hex."""
    return str(sha256(content).hexdigest())


def digest_of(rows: list[Any]) -> str:
    """sha256 over lines, or over rows of a seal."""
    text = "".join(one if isinstance(one, str) else repr(one) for one in rows)
    return sha(text.encode(errors="surrogateescape"))


def section_digest(records: list[dict[str, Any]]) -> str:
    """config_tree's ``digest`` of a section, from its records."""
    rows = [
        [one["path"], one["mode"], one["owner"], one["group"], one.get("hmac_sha256") or one["sha256"]]
        for one in sorted(records, key=lambda one: str(one["path"]))
    ]
    return sha(dump(rows).encode())


def parse(text: str) -> Any:
    """JSON by the scanner in C that json itself uses; json imports re, which takes longer than all our parsing."""
    try:
        from _json import make_scanner

        options: Any = Scanner
        scan = make_scanner(options)
    except (ImportError, AttributeError, TypeError):
        import json

        return json.loads(text)
    try:
        text = text.strip()
        value, end = scan(text, 0)
    except StopIteration:
        raise ValueError("not JSON") from None
    if end != len(text):
        raise ValueError("more than one JSON document")
    return value


class Scanner:
    """The options of ``_json.make_scanner``, as json.JSONDecoder sets them."""

    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float = parse_constant = float
    parse_int = int


def dump(value: Any) -> str:
    """JSON with json's own spacing; plain types only."""
    from _json import encode_basestring_ascii  # type: ignore[import-not-found, unused-ignore]

    if isinstance(value, str):
        return str(encode_basestring_ascii(value))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{dump(str(key))}: {dump(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(dump, value)) + "]"
    words_ = {None: "null", True: "true", False: "false"}
    return words_[value] if value is None or isinstance(value, bool) else repr(value)
