#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install pinned artefacts of the catalogue."""

from __future__ import annotations

DOCUMENTATION = r"""
module: artifact
short_description: Install pinned artefacts of the catalogue
version_added: 0.1.0
description:
  - Has artefacts, such as Hadoop's jars, on a host, each reached by a link at its O(artifacts[].path).
  - The controller takes them from its store, or fetches them there once from the sources that the catalogue pins
    (C(artifacts/<name>.yml)); every file is verified against a digest or a lock before use, and again on each run.
  - Where the host sees the controller's store (host variable C(labctl_store)), the paths become links into it and
    nothing is copied. Elsewhere the files of those that the host does not have are sent, one artefact after the other,
    unpacked below C(/opt/labctl), verified on the host, and the paths link there. From five hosts in a play on the
    controller sends them to two, which hand them on to the others over HTTP, on their lab addresses, for as long as
    they are asked and a minute more; a host that cannot get them there gets them from the controller.
  - Links change when all of the call's artefacts are there, and not before. A changed version replaces the link at
    once; a version that no role uses any more is removed, and so is an artefact that is not listed any more.
  - A file or folder that stands at a path and is not a link is never touched; the task fails instead.
extends_documentation_fragment: labctl.stacks.bulk
options:
  artifacts:
    description: Artefacts to have. Required with O(state=present).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name in the catalogue.
        type: str
        required: true
      version:
        description:
          - Version, one of those in the catalogue. Without it the lab's locked one, else the catalogue's default.
        type: str
      path:
        description: Absolute path of the link. Its folder must be there.
        type: path
        required: true
      source:
        description:
          - Take the artefact from this source of the catalogue only, such as V(maven) or V(archive). Without it the
            sources are tried in the catalogue's order.
        type: str
        default: ""
  trees:
    description: What the files must be, by name. Made by the action plugin, not for use in playbooks.
    type: dict
    default: {}
  store:
    description: Where the host sees the store. Made by the action plugin, not for use in playbooks.
    type: str
    default: ""
  bring:
    description: An artefact's files, for a host that needs them. Made by the action plugin, not for use in playbooks.
    type: dict
    suboptions:
      name:
        description: Which artefact.
        type: str
        required: true
      archive:
        description: The files as they were sent to the host.
        type: str
        default: ""
      peer:
        description: Where another host shares the files.
        type: str
        default: ""
      share:
        description: Where to share the files with other hosts.
        type: dict
        suboptions:
          address:
            description: Address of this host to share them on.
            type: str
            required: true
          token:
            description: What a host must know to get them.
            type: str
            required: true
attributes:
  check_mode:
    details: Fetches nothing, and says C(would fetch) of what is not in the store.
"""

EXAMPLES = r"""
- name: Have Hadoop in /opt/hadoop
  labctl.stacks.artifact:
    role: hdfs
    artifacts:
      - name: hadoop
        version: "3.5.0"
        path: /opt/hadoop
  register: __hdfs_artifact

- name: Have what runs containers, all in one call
  labctl.stacks.artifact:
    role: containerd
    artifacts:
      - {name: containerd, path: /opt/containerd}
      - {name: runc, path: /opt/runc}
      - {name: cni-plugins, path: /opt/cni}

- name: Have Hadoop from the project's release archive, whatever it weighs
  labctl.stacks.artifact:
    role: hdfs
    artifacts: [{name: hadoop, path: /opt/hadoop, source: archive}]

- name: Remove what this role installed
  labctl.stacks.artifact:
    role: hdfs
    state: absent
"""

RETURN = r"""
artifacts:
  description: What is installed, by name.
  returned: with state=present
  type: dict
  sample:
    hadoop:
      version: "3.5.0"
      digest: 8ce5d528976b859fc696a8376bff2f31eddb2e26bfd8d95e05c6904a6418c66e
      path: /opt/hadoop
      source: store
  contains:
    version:
      description: The version.
      type: str
    digest:
      description:
        - sha256 over every file's digest, mode and path. Equal digests, equal files, whatever the source.
        - Empty in check mode for an archive that was never fetched, as only unpacking tells.
      type: str
    path:
      description: The link.
      type: str
    source:
      description: Where the controller took it from in this run, V(store) or the name of a source.
      type: str
changes:
  description: Every change in a line.
  returned: always
  type: list
  elements: str
  sample: ["/opt/hadoop: absent -> /opt/labctl/hadoop-3.5.0-8ce5d528976b"]
manifest:
  description: The role's manifest on the host, with an empty sha256 where there is none.
  returned: always
  type: dict
  sample: {role: hdfs, sha256: 5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.bulk import BULK_OPTIONS, run_bulk
from ansible_collections.labctl.stacks.plugins.module_utils.store.install import absent, present

ARTIFACT = {
    "name": {"type": "str", "required": True},
    "version": {"type": "str"},
    "path": {"type": "path", "required": True},
    "source": {"type": "str", "default": ""},
}
# Both of these hold the token that a peer asks for.
SHARE = {"address": {"type": "str", "required": True}, "token": {"type": "str", "required": True, "no_log": True}}
BRING = {
    "name": {"type": "str", "required": True},
    "archive": {"type": "str", "default": ""},
    "peer": {"type": "str", "default": "", "no_log": True},
    "share": {"type": "dict", "options": SHARE},
}
OPTIONS = {
    "artifacts": {"type": "list", "elements": "dict", "default": [], "options": ARTIFACT},
    "trees": {"type": "dict", "default": {}},
    "store": {"type": "str", "default": ""},
    "bring": {"type": "dict", "options": BRING},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**BULK_OPTIONS, **OPTIONS}, supports_check_mode=True)
    run_bulk(module, "artifact", present, absent)


if __name__ == "__main__":
    main()
