# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""labctl: gives a lab its hosts and drives the collection labctl.stacks on them."""
