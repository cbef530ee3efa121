# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m labctl`` is ``labctl``."""

from labctl.cli import main

if __name__ == "__main__":
    main()
