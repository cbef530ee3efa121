# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab on a machine with settings we may not give this one, in network and mount namespaces of its own.

There, the firewall drops what it forwards, also between two ports of one bridge; forwarding is off; the cache's path
holds what options of mount would take for something else; and the caller's umask is a strict one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.paths import STATE_ROOT
from ansible_collections.labctl.stacks.plugins.module_utils.providers.base import no_progress
from ansible_collections.labctl.stacks.plugins.module_utils.providers.nspawn import image
from integration.provider.real_lab import ROOT

pytestmark = pytest.mark.root

#: Arguments: a folder for it all, the image, and the command to run in there.
SANDBOX = r"""
set -eu
folder=$1 image=$2
shift 2
mkdir "$folder/cgroup" "$folder/state"
mount --rbind /sys/fs/cgroup "$folder/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$folder/cgroup" /sys/fs/cgroup
mkdir -p /var/lib/labctl
mount --bind "$folder/state" /var/lib/labctl
export LABCTL_CACHE_DIR="$folder/a cache, with: all"
mkdir -p "$LABCTL_CACHE_DIR/images/nspawn/${image##*/}"
chmod 700 "$LABCTL_CACHE_DIR/images/nspawn"
mount --bind "$image" "$LABCTL_CACHE_DIR/images/nspawn/${image##*/}"
cp "${image%/*}"/*.json "$LABCTL_CACHE_DIR/images/nspawn/"
ip link set lo up
iptables -P FORWARD DROP
[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables
echo 0 > /proc/sys/net/ipv4/ip_forward
umask 077
exec "$@"
"""

INSIDE = """
import subprocess
from pathlib import Path
from integration.provider.real_lab import RealLab
lab = RealLab(Path(sys.argv[1]))
lab.write("name: sandbox\\nprovider: nspawn\\nhosts: {head: {}, worker: {}}\\nstacks: []\\n")
forwarding = Path("/proc/sys/net/ipv4/ip_forward")
try:
    lab.up()
    assert forwarding.read_text() == "1\\n"
    assert "1 received" in lab.ssh("head", "ping -c 1 -W 2 worker")
    assert lab.ssh("head", "setpriv --reuid=65534 --clear-groups cat /etc/hostname") == "head"
    assert lab.ssh("head", "systemctl is-system-running --wait") == "running"
    state = lab.layout.lab_file.stat().st_mode & 0o777, lab.layout.folder.stat().st_mode & 0o777
    assert state == (0o644, 0o755), state
    assert {change.action for change in lab.provider.plan()} == {"keep"}
finally:
    removed = lab.provider.destroy()
assert lab.leftovers() == [], lab.leftovers()
assert forwarding.read_text() == "0\\n"
assert not list(Path("/var/lib/labctl").iterdir())
print("all well")
"""


def test_a_strict_machine_can_have_a_lab(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("makes nspawn hosts, which needs root")
    made = image.ensure(image.recipe_for("debian-13", ()), None, no_progress)
    base = image.path_of(made.digest)
    (tmp_path / "lab").mkdir()
    prelude = f"import sys; sys.path[:0] = [{str(ROOT / '.dev')!r}, {str(ROOT / 'tests')!r}]\n"
    done = subprocess.run(
        [
            *("unshare", "--mount", "--net", "--propagation", "private"),
            *("sh", "-c", SANDBOX, "sandbox", str(tmp_path), str(base)),
            *(sys.executable, "-c", prelude + INSIDE, str(tmp_path / "lab")),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    with contextlib.suppress(OSError):
        STATE_ROOT.rmdir()  # made as a mount point, where no lab lives
    assert done.stdout.strip().endswith("all well"), done.stderr
