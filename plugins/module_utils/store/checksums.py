# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the checksum files that projects publish beside their releases."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import PreflightError

_LENGTHS = {64: "sha256", 128: "sha512"}
_HEX = r"[0-9a-fA-F]"
_BARE = re.compile(rf"({_HEX}{{128}}|{_HEX}{{64}})")
#: ``hash  name``, ``hash *name``, ``hash  ./folder/name``: containerd, Elastic, HashiCorp, sha256sum
_LINE = re.compile(rf"({_HEX}{{128}}|{_HEX}{{64}})[ \t]+[*]?(?:.*/)?([^/\s]+)")
#: ``SHA512 (name) = hash``: BSD, Hadoop
_BSD = re.compile(rf"(SHA-?256|SHA-?512)[ \t]*\((?:.*/)?([^/()]+)\)[ \t]*=[ \t]*({_HEX}+)", re.IGNORECASE)
#: ``name: SHA512 = AB CD ...`` or ``name: AB CD ...``, over several lines: gpg --print-md, older Apache releases
_GPG = re.compile(rf"(\S+):[ \t]*(?:SHA-?(?:256|512)[ \t]*=)?[ \t]*((?:\s*{_HEX}{{2,16}}(?=\s|$))+)", re.IGNORECASE)


def digest_in(text: str, filename: str) -> str:
    """The digest of a file in a checksum file's text, as the catalogue writes it.

    Reads a bare hash (dl.k8s.io), ``hash  name`` (containerd, Elastic, HashiCorp), ``SHA512 (name) = hash`` (BSD,
    Apache) and gpg's groups of hex over several lines (Apache). Raises PreflightError where the file is not in it, or
    is there with two digests, and for a page that is no checksum file.
    """
    found = {digest for name, digest in _pairs(text) if name in ("", filename)}
    if len(found) == 1:
        return found.pop()
    if found:
        raise PreflightError(f"the checksum file has {len(found)} different digests for {filename}")
    if text.lstrip()[:15].lower().startswith(("<!doctype", "<html")):
        raise PreflightError("an HTML page came instead of a checksum file", hint="Open its URL in a browser.")
    raise PreflightError(f"the checksum file says nothing of {filename}")


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """File name ("" where there is only a hash) and digest of each line, in whichever shape."""
    plain = text.strip()
    if bare := _BARE.fullmatch(plain):
        yield "", _digest(bare[1])
        return
    rest = []
    for line in plain.splitlines():
        if pair := _LINE.fullmatch(line.strip()):
            yield pair[2], _digest(pair[1])
        elif pair := _BSD.fullmatch(line.strip()):
            algorithm = pair[1].lower().replace("-", "")
            if _LENGTHS.get(len(pair[3])) == algorithm:
                yield pair[2], _digest(pair[3])
        else:
            rest.append(line)
    for match in _GPG.finditer("\n".join(rest)):
        joined = re.sub(r"\s", "", match[2])
        if len(joined) in _LENGTHS:
            yield match[1], _digest(joined)


def _digest(text: str) -> str:
    return f"{_LENGTHS[len(text)]}:{text.lower()}"
