# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only part of labctl that knows how Ansible is started and what it reports."""
