# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on the test's host: a tree of two files as artifact lays it out and records it. Prints the manifest's sha256."""

import hashlib
import json
import os

ROOT = "/opt/labctl/tiny-1"
FILES = {"bin/tool": (b"binary", "0555"), "lib/a.txt": (b"text", "0444")}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


for name, (content, mode) in FILES.items():
    path = f"{ROOT}/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    with open(path, "wb") as stream:  # noqa: PTH123
        stream.write(content)
    os.chmod(path, int(mode, 8))  # noqa: PTH101
os.symlink(ROOT, "/opt/tiny")  # noqa: PTH211
digest = sha("".join(sorted(f"{sha(c)}  {m}  {n}\n" for n, (c, m) in FILES.items())).encode())
listing = sha("".join(sorted(f"{len(c)}  {n}\n" for n, (c, _) in FILES.items())).encode())
tree = {"path": ROOT, "name": "tiny", "version": "1", "digest": digest, "listing": listing, "pushed": True}
section = {"links": [{"path": "/opt/tiny", "target": ROOT, "before": "absent"}], "trees": [tree]}
manifest = json.dumps({"version": 1, "role": "vft", "sections": {"artifact/tiny": section}}, sort_keys=True)
path = "/var/lib/labctl/manifest.d/vft.json"
with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as stream:  # noqa: PTH123
    stream.write(manifest)
print(sha(manifest.encode()))  # noqa: T201
