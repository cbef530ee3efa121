# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: artefacts, from the catalogue to a verified tree on disk.

Nothing is imported here: ``tree`` and ``unpack`` also travel to hosts, and must not bring the rest with them.
"""
