# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where labctl reaches into the collection for what makes hosts and fetches artefacts; loaded when first needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.labctl.stacks.plugins.module_utils.lab import Lab


def provider_for(lab: Lab) -> Any:
    """The provider that makes this lab's hosts."""
    from ansible_collections.labctl.stacks.plugins.module_utils.providers import provider_for as find

    return find(lab)


def resolve_artifact(name: str, progress: Callable[[str, int, int], None]) -> str:
    """Bring the catalogue's current version of an artefact into the store; a line that says what it is and whence."""
    from ansible_collections.labctl.stacks.plugins.module_utils.store.catalogue import catalogue
    from ansible_collections.labctl.stacks.plugins.module_utils.store.store import Store

    resolved = Store().resolve(catalogue(name), progress=progress)
    return f"{resolved.version} from {resolved.source}"
