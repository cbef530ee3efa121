# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the options of modules that act on a cluster, on one of its masters."""

from __future__ import annotations


class ModuleDocFragment:
    """By which file and command the cluster is reached."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description: The kubeconfig file, on the host, of a user who may do all this.
    type: path
    default: /etc/kubernetes/admin.conf
  server:
    description: Address of an API server, in place of the one that O(kubeconfig) names.
    type: str
    default: ""
  kubectl:
    description: The C(kubectl) command, by which labctl looks at objects.
    type: path
    default: /opt/kubernetes/bin/kubectl
"""
