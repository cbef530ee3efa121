# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: hosts as systemd-nspawn containers of this machine, with a bridge per lab."""

from __future__ import annotations

from .provider import NspawnProvider

__all__ = ["NspawnProvider"]
