# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the commands do: find a lab, bring it up, look at it, remove it. No typer, no printing; callers listen."""
