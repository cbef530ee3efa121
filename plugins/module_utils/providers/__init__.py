# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the providers there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InputError
from .base import Change, Host, Progress, Provider, no_progress

if TYPE_CHECKING:
    from ..lab import Lab

__all__ = ["Change", "Host", "Progress", "Provider", "no_progress", "provider_for"]


def provider_for(lab: Lab) -> Provider:
    """The provider the lab names; InputError for one we do not have."""
    if lab.provider.type == "nspawn":
        from .nspawn import NspawnProvider

        return NspawnProvider(lab)
    if lab.provider.type == "static":
        from .static import StaticProvider

        return StaticProvider(lab)
    raise InputError(f"no provider is called {lab.provider.type}", hint="use nspawn or static")
