# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured, case by case. Each module has ABOUT, for the page's sceptical reader, and measure(session)."""
