# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of the units labctl's roles manage on a host, as their manifests name them."""

from __future__ import annotations

# Runs on the host. The manifests are root's, as is the ssh user.
_PROGRAM = """
import glob, json, os, sys
lines, follow, unit = sys.argv[1:4]
units = set()
for path in glob.glob("/var/lib/labctl/manifest.d/*.json"):
    with open(path) as stream:
        for section in json.load(stream).get("sections", {}).values():
            units.update(record["name"] for record in section.get("units", []))
if not units:
    sys.exit("labctl manages no unit on this host")
if unit:
    full = unit if "." in unit else unit + ".service"
    if full not in units:
        sys.exit("labctl manages no unit " + full + " here, but " + ", ".join(sorted(units)))
    units = {full}
argv = ["journalctl", "--no-pager", "--quiet", "--output=short-iso", "--lines=" + lines]
argv += ["--follow"] if follow == "follow" else []
os.execvp("journalctl", argv + ["--unit=" + name for name in sorted(units)])
"""


def journal_command(unit: str | None, *, lines: int, follow: bool) -> list[str]:
    """The command that shows, on a host, the last ``lines`` of one unit or of all of ours."""
    return ["/usr/bin/python3", "-c", _PROGRAM.strip(), str(lines), "follow" if follow else "", unit or ""]
