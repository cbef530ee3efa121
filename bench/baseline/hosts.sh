#!/usr/bin/env bash
# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
# The opponent: three systemd-nspawn hosts started by hand, side by side, over the same image as labctl's.
# usage: hosts.sh up|down WORK IMAGE STORE      WORK is a folder of its own; hosts get 10.199.99.10-12 on bridge labbench0
set -euo pipefail
verb=$1 work=$2 image=${3-} store=${4-}
names=(head worker1 worker2)
bridge=labbench0
net=10.199.99

host_up() { # NAME NUMBER: overlay, keys, names, address, supervisor, and wait for ssh
  local name=$1 address=$net.$((10 + $2)) root=$work/$1/root upper=$work/$1/upper
  mkdir -p "$root" "$upper"/etc/ssh "$upper"/etc/systemd/network "$upper"/root/.ssh "$work/$name/work"
  chmod 700 "$upper/root" "$upper/root/.ssh"
  ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$upper/etc/ssh/ssh_host_ed25519_key"
  echo "$name" > "$upper/etc/hostname"
  tr -d - < /proc/sys/kernel/random/uuid > "$upper/etc/machine-id"
  { echo '127.0.0.1 localhost'; for i in 0 1 2; do echo "$net.$((10 + i)) ${names[i]}"; done; } > "$upper/etc/hosts"
  printf '[Match]\nName=host0\n[Network]\nAddress=%s/24\nGateway=%s.1\nDHCP=no\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n' \
    "$address" "$net" > "$upper/etc/systemd/network/10-host0.network"
  cp "$work/key.pub" "$upper/root/.ssh/authorized_keys"
  chmod 600 "$upper/root/.ssh/authorized_keys"
  mount -t overlay bench -o "lowerdir=$image,upperdir=$upper,workdir=$work/$name/work" "$root"
  # shellcheck disable=SC2016
  setsid sh -c 'echo $$ > "$1"; shift
      for tree in /sys/fs/cgroup/*/; do
        group=$tree/labbench/$1
        [ -f "$tree/cgroup.procs" ] && mkdir -p "$group" || continue
        [ ! -f "$group/cpuset.cpus" ] || for half in "$tree/labbench" "$group"; do
          cat "$tree/cpuset.cpus" > "$half/cpuset.cpus"; cat "$tree/cpuset.mems" > "$half/cpuset.mems"; done
        echo $$ > "$group/cgroup.procs"
      done
      shift; SYSTEMD_NSPAWN_TMPFS_TMP=0 exec "$@"' \
    sh "$work/$name/pid" "$name" \
    systemd-nspawn --quiet --boot --settings=no --register=no --keep-unit "--machine=labbench-$name" "--hostname=$name" \
    "--directory=$root" "--network-bridge=$bridge" --resolv-conf=off --timezone=off --link-journal=no --console=read-only \
    "--bind-ro=$store:/var/lib/labctl/store" < /dev/null > "$work/$name/log" 2>&1 &
  until { read -r -t 1 _ < "/dev/tcp/$address/22"; } 2> /dev/null; do sleep 0.05; done
}

case $verb in
  up)
    mkdir -p "$work"
    ssh-keygen -q -t ed25519 -N '' -f "$work/key"
    ip link add "$bridge" type bridge
    ip addr add "$net.1/24" dev "$bridge"
    ip link set "$bridge" up
    pids=()
    for i in 0 1 2; do host_up "${names[i]}" "$i" & pids+=($!); done
    for pid in "${pids[@]}"; do wait "$pid"; done
    ;;
  down)
    for name in "${names[@]}"; do
      [ ! -f "$work/$name/pid" ] || kill -TERM "$(cat "$work/$name/pid")" 2> /dev/null || true
    done
    for name in "${names[@]}"; do
      while [ -f "$work/$name/pid" ] && kill -0 "$(cat "$work/$name/pid")" 2> /dev/null; do sleep 0.1; done
      umount "$work/$name/root" 2> /dev/null || true
    done
    ip link del "$bridge" 2> /dev/null || true
    find /sys/fs/cgroup/*/labbench -depth -type d -exec rmdir {} + 2> /dev/null || true
    rm -rf "$work"
    ;;
esac
