#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Import container images from archives into containerd."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_images
short_description: Import container images from archives into containerd
version_added: 0.1.0
description:
  - Imports images into the namespace that Kubernetes uses, under the names they have in their archives, and marks them
    so that kubelet never removes them. An image that is there with the same digest is left alone.
  - Labs need no registry by this, and a host without a network has its images.
extends_documentation_fragment: labctl.stacks.bulk
options:
  archives:
    description: Paths of archives on the host, each in the OCI image layout with one named image.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    details: An archive that is not on the host yet is an error there too.
  diff_mode:
    details: Shows the digests.
seealso:
  - module: labctl.stacks.artifact
    description: Brings the archives.
"""

EXAMPLES = r"""
- name: Import the image of pods' first container
  labctl.stacks.container_images:
    role: containerd
    archives: [/opt/container-images/image-pause/image.tar]

- name: Forget what this role imported
  labctl.stacks.container_images:
    role: containerd
    state: absent
"""

RETURN = r"""
imported:
  description: Names of the images that were imported; in check mode would be.
  returned: with state=present
  type: list
  elements: str
  sample: [localhost/labctl/pause:3.10.2]
changes:
  description: Every change in a line.
  returned: always
  type: list
  elements: str
  sample: ["image localhost/labctl/pause:3.10.2: absent -> sha256:6b3c"]
manifest:
  description: The role's manifest on the host, with an empty sha256 where there is none.
  returned: always
  type: dict
  sample: {role: containerd, sha256: 5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import BULK_OPTIONS, run_bulk
from ansible_collections.labctl.stacks.plugins.module_utils.container_images import absent, present

OPTIONS = {"archives": {"type": "list", "elements": "path", "default": []}}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**BULK_OPTIONS, **OPTIONS}, supports_check_mode=True)
    run_bulk(module, "container_images", present, absent)


if __name__ == "__main__":
    main()
