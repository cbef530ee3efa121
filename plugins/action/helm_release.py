# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of helm_release: pack the chart, encode the values, and keep the manifest's digest."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.plugin_utils.bulk import BulkAction
from ansible_collections.labctl.stacks.plugins.plugin_utils.plain import plain

#: Bytes of a chart that travel in a task's options.
MOST = 1 << 20


def packed(chart: Path) -> bytes:
    """The plain files of a chart's folder as a tar: sorted, without times and owners. InputError for no chart."""
    if not (chart / "Chart.yaml").is_file():
        raise InputError(f"{chart} is no chart: it has no Chart.yaml", hint="give the folder of a chart")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(chart.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            member = tarfile.TarInfo(path.relative_to(chart).as_posix())
            content = path.read_bytes()
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    if len(out.getvalue()) > MOST:
        raise InputError(f"{chart} is larger than 1 MiB", hint="give a chart without what it needs packed into it")
    return out.getvalue()


class ActionModule(BulkAction):
    """Action of labctl.stacks.helm_release."""

    MODULE = "helm_release"

    def prepare(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """``chart`` and ``values`` become what the module knows, which it never logs."""
        chart, values = args.pop("chart", None), args.pop("values", None)
        if args.get("state") == "absent":
            return args
        if not chart:
            raise InputError("chart is missing", hint="give the folder of a chart on this machine")
        if not isinstance(values, (dict, type(None))):
            raise InputError("values is not a dictionary", hint="give the values by their names")
        args["chart_b64"] = base64.b64encode(packed(Path(str(chart)))).decode()
        args["values_b64"] = base64.b64encode(json.dumps(plain(values or {}, "values")).encode()).decode()
        return args
