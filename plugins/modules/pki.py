#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action labctl.stacks.pki, which runs on the controller alone."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pki
short_description: Issue a host's certificate from the lab's own authority
version_added: 0.1.0
description:
  - Makes the lab's certificate authority, a private key for the host (both ECDSA P-256) and a certificate for it, and
    keeps them in the folder C(secrets/pki) of the lab folder on the controller. Nothing is sent to the host; the
    authority's key never is. The entry point C(pki) of the role labctl.stacks.common brings the rest to the host.
  - A certificate is issued anew when its names change, when the authority or the key is another, and when no more than
    O(renew_days) of it are left. The key stays, so a host that is made again gets the same.
  - The authority is valid for ten years. O(authorities) rotates it without a moment in which hosts do not trust each
    other.
  - One call in place of the six or more of P(community.crypto.x509_certificate#module) and its like, each of which
    starts a Python of its own. With eight hosts they were measured at 1.7 seconds of CPU for each host in every run,
    also in one that changes nothing, and their collection comes to pip users in a bundle of 470 MB. The cryptography
    is the same Python package's, and ansible-core needs that anyway.
options:
  name:
    description: Name of the certificate among those of the host, usually the role's.
    type: str
    required: true
  names:
    description: Host names and addresses it is for.
    type: list
    elements: str
    required: true
  authorities:
    description:
      - Numbers of the authorities of the lab. The first issues, all are trusted; one that does not exist is made.
      - To rotate, go from V([1]) to V([1, 2]), V([2, 1]) and V([2]), with a run on all hosts after each step.
    type: list
    elements: int
    default: [1]
  valid_days:
    description: Days a new certificate is valid for.
    type: int
    default: 365
  renew_days:
    description: Days before its end at which a certificate is renewed.
    type: int
    default: 30
requirements:
  - cryptography >= 42 (on the controller)
attributes:
  check_mode:
    description: Says whether a certificate would be issued and why, and makes nothing.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
  idempotent:
    description: A second run changes nothing and leaves all files byte-identical.
    support: full
  action:
    description: Runs on the controller alone.
    support: full
author:
  - the labctl authors (@labctl)
seealso:
  - plugin: labctl.stacks.secret
    plugin_type: lookup
    description: Reads the key named in RV(key).
"""

EXAMPLES = r"""
- name: Issue a certificate for the web server
  labctl.stacks.pki:
    name: web
    names:
      - "{{ inventory_hostname }}"
      - "{{ lab_address }}"
      - www.example.org
  register: __web_certificate
"""

RETURN = r"""
reason:
  description: Why the certificate was or would be issued, empty where the one that exists is good.
  returned: success
  type: str
  sample: it ended on 2027-11-22
certificate:
  description: The certificate in PEM; in check mode, where it would be issued, a placeholder.
  returned: success
  type: str
  sample: "-----BEGIN CERTIFICATE-----..."
authorities:
  description: The certificates of all authorities to trust, in PEM; a placeholder for each that check mode would make.
  returned: success
  type: str
  sample: "-----BEGIN CERTIFICATE-----..."
key:
  description: Name of the private key for P(labctl.stacks.secret#lookup); empty in check mode where it would be made.
  returned: success
  type: str
  sample: pki/worker1/web.key
ends:
  description: When the certificate ends; empty in check mode where it would be issued.
  returned: success
  type: str
  sample: "2027-11-22T18:20:00Z"
"""
