#!/usr/bin/env bash
# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
# The opponent: one new ssh connection per host, all at once, that hashes the host's files and compares them with what they should be.
# usage: hash.sh SSH_CONFIG FOLDER     FOLDER holds for each host a file of its name: lines for `sha256sum --check`
set -euo pipefail
config=$1 folder=$2
pids=()
for list in "$folder"/*; do
  ssh -F "$config" -o ControlMaster=no -o ControlPath=none -o BatchMode=yes -T -- "${list##*/}" sha256sum --check --quiet < "$list" &
  pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
