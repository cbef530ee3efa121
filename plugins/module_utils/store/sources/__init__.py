# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the kinds of sources there are; the only table of them."""

from __future__ import annotations

from .archive import ArchiveSource
from .base import Source
from .debian import DebianSource
from .files import FilesSource
from .golang import GoSource
from .image import ImageSource
from .maven import MavenSource

_ALL = (MavenSource, ArchiveSource, FilesSource, GoSource, DebianSource, ImageSource)
#: Key in the catalogue to the class that reads it.
KINDS: dict[str, type[Source]] = {kind.name: kind for kind in _ALL}
