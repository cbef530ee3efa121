# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles: all that a lab needs in one file, for machines without a network.

A bundle is a tar compressed by zstd, with regular files only:

    index.json                 every other file with its bytes and sha256, and how the files make artefacts
    index.sig                  optional: an Ed25519 signature over index.json
    wheels/                    labctl and what it depends on, for pip
    lab/                       lab.yml, lab.lock and what stands beside them
    blobs/sha256/<aa>/<hex>    files of the store, so that the unpacked bundle is a mirror

Whoever trusts the sha256 of index.json, or its signature, can check all the rest.
"""
