#!/usr/bin/python
# Copyright (c) 2026 the labctl authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: hadoop_smoke
short_description: Prove that a Hadoop cluster stores, computes and reads back
version_added: 0.1.0
author: the labctl authors (@labctl)
description:
  - Puts real text into HDFS (the licence texts of the host, repeated until they fill O(blocks) blocks), reads it back
    byte by byte, runs the word count of Hadoop's examples on YARN, and compares every word's count with one computed
    by Python.
  - Asks the NameNode whether blocks lie on the DataNodes, and the history server on which hosts tasks ran.
  - Runs as an ordinary HDFS user and removes what it put into HDFS, also when it fails. As for every job, the job's
    record stays with the history server.
attributes:
  check_mode: {support: none, description: Skipped, as it has to run a job.}
  diff_mode: {support: none, description: There is nothing to compare.}
  idempotent: {support: full, description: Reports no change, as nothing is left behind.}
options:
  namenode_url:
    description: Address of the NameNode's web server.
    type: str
    required: true
  historyserver_url:
    description: Address of the history server's web server.
    type: str
    required: true
  datanode_hosts:
    description: Hosts that run a DataNode. Blocks must lie on all of them, or on two where there are more.
    type: list
    elements: str
    required: true
  nodemanager_hosts:
    description: Hosts that run a NodeManager. Tasks must run on all of them, or on two where there are more.
    type: list
    elements: str
    required: true
  home:
    description: Folder Hadoop is installed in.
    type: path
    default: /opt/hadoop
  command:
    description: The C(hadoop) command.
    type: path
    default: /usr/local/bin/hadoop
  blocks:
    description: Number of blocks of 1 MiB, and so of map tasks, at the least.
    type: int
    default: 8
  timeout:
    description: Seconds the job may take.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Prove that Hadoop works
  labctl.stacks.hadoop_smoke:
    namenode_url: http://head:9870
    historyserver_url: http://head:19888
    datanode_hosts: [worker1, worker2]
    nodemanager_hosts: [worker1, worker2]
"""

RETURN = r"""
report:
  description: What was proven, a line each.
  returned: success
  type: list
  elements: str
  sample: ['wordcount of 8.1 MiB in 9 splits: all 9,112 words counted right']
timeline:
  description: Seconds each step took.
  returned: success
  type: dict
  sample: {'write': 0.4, 'read': 0.1, 'job': 24.9, 'compare': 0.3}
job:
  description: Identifier of the job.
  returned: success
  type: str
  sample: job_1790000000000_0001
"""

import os
import re
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, List, Set, Tuple

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.labctl.stacks.plugins.module_utils.webhdfs import RestError, WebHdfs, get_json

BLOCK = 1024 * 1024
USER = "labctl-smoke"
# The delimiters of java.util.StringTokenizer, which the example splits by.
TOKEN = re.compile("[^ \t\n\r\f]+")


class SmokeError(Exception):
    """The cluster did something else than its users expect."""


def sample_text(blocks: int) -> str:
    """The licence texts every Debian host has, repeated until they fill ``blocks`` blocks."""
    texts = []
    for path in sorted(Path("/usr/share/common-licenses").iterdir()):
        if path.is_file() and not path.is_symlink():
            try:
                texts.append(path.read_text(encoding="utf-8"))
            except UnicodeDecodeError:
                continue
    one = "\n".join(texts) + "\n"
    if len(one) < 1000:
        raise SmokeError("/usr/share/common-licenses holds too little text to count words in")
    return one * ((blocks - 1) * BLOCK // len(one.encode()) + 1)


def parse_counts(parts: List[bytes]) -> Dict[str, int]:
    """The job's answer, of lines ``word TAB count``."""
    counts: Dict[str, int] = {}
    for part in parts:
        for line in part.decode("utf-8").split("\n"):
            if line:
                word, _, count = line.rpartition("\t")
                counts[word] = int(count)
    return counts


def compare(expected: Dict[str, int], got: Dict[str, int]) -> None:
    wrong = sorted(word for word in set(expected) | set(got) if expected.get(word) != got.get(word))
    if wrong:
        shown = ", ".join(
            "{!r}: {} instead of {}".format(word, got.get(word, "none"), expected.get(word, "none"))
            for word in wrong[:5]
        )
        raise SmokeError(f"{len(wrong)} of {len(expected)} words are counted wrong: {shown}")


def spread(what: str, used: Set[str], hosts: List[str]) -> str:
    """A line that says where things are; SmokeError when they are on fewer hosts than they should be."""
    on = sorted(used & set(hosts))
    if len(on) < min(2, len(hosts)):
        raise SmokeError(
            "{} on {} only, though there are {}".format(what, ", ".join(on) or "no host", ", ".join(sorted(hosts)))
        )
    return "{} on {}".format(what, ", ".join(on))


def entries(value: Any) -> List[Dict[str, Any]]:
    """A list from Hadoop's REST interfaces, which answer a list of one as the one."""
    return [value] if isinstance(value, dict) else list(value)


def task_hosts(history: str, job: str) -> Tuple[int, Set[str]]:
    """The number of map tasks of the job, and the hosts its tasks succeeded on, as the history server tells."""
    base = "{}/ws/v1/history/mapreduce/jobs/{}".format(history.rstrip("/"), job)
    deadline = time.monotonic() + 30
    while True:
        try:
            tasks = entries(get_json(base + "/tasks")["tasks"]["task"])
            break
        except RestError:
            # The job's record reaches the history server a moment after the job's end.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    hosts = set()
    for task in tasks:
        attempts = get_json("{}/tasks/{}/attempts".format(base, task["id"]))["taskAttempts"]["taskAttempt"]
        done = [attempt for attempt in entries(attempts) if attempt["state"] == "SUCCEEDED"]
        hosts |= {attempt["nodeHttpAddress"].split(":")[0] for attempt in done}
    return sum(1 for task in tasks if task["type"] == "MAP"), hosts


def run_job(module: AnsibleModule, work: str) -> str:
    """Run the word count over ``work/in`` into ``work/out`` and return the job's identifier."""
    home = Path(module.params["home"])
    jars = sorted(home.glob("examples/hadoop-mapreduce-examples-*.jar"))
    jars += sorted(home.glob("share/hadoop/mapreduce/hadoop-mapreduce-examples-*.jar"))
    if not jars:
        raise SmokeError(f"{home} holds no hadoop-mapreduce-examples jar")
    argv = ["timeout", str(module.params["timeout"]), "runuser", "-u", "nobody", "--", module.params["command"], "jar"]
    argv += [str(jars[0]), "wordcount", f"-Dyarn.app.mapreduce.am.staging-dir={work}/staging"]
    argv += [work + "/in", work + "/out"]
    environment = {"HADOOP_USER_NAME": USER, "HADOOP_ROOT_LOGGER": "INFO,console"}
    code, out, err = module.run_command(argv, environ_update=environment, cwd="/")
    found = re.search(r"job_\d+_\d+", out + err)
    if code != 0 or not found:
        last = "\n".join([line for line in (out + err).splitlines() if line.strip()][-15:])
        why = f"did not end within {module.params['timeout']} s" if code == 124 else f"failed (exit {code})"
        raise SmokeError(f"the word count {why}; its last words: {last}")
    return found.group(0)


def smoke(module: AnsibleModule) -> Dict[str, Any]:
    params = module.params
    hdfs = WebHdfs(params["namenode_url"], USER)
    work = f"/tmp/labctl-smoke-{uuid.uuid4().hex[:8]}"  # noqa: S108 - a folder in HDFS
    timeline: Dict[str, float] = {}
    report: List[str] = []

    def timed(name: str, step: Callable[[], Any]) -> Any:
        start = time.monotonic()
        value = step()
        timeline[name] = round(time.monotonic() - start, 2)
        return value

    text = sample_text(params["blocks"])
    content = text.encode()
    source = work + "/in/licences.txt"
    try:
        hdfs.mkdirs(work + "/in", "755")
        timed("write", lambda: hdfs.create(source, content, BLOCK))
        if timed("read", lambda: hdfs.read(source)) != content:
            raise SmokeError(f"{source} does not read back as it was written")
        report.append(f"HDFS: {len(content) / BLOCK:.1f} MiB written and read back, equal byte by byte")
        replicas = {host for block in hdfs.block_hosts(source) for host in block}
        report.append("HDFS: " + spread("blocks lie", replicas, params["datanode_hosts"]))
        job = timed("job", lambda: run_job(module, work))
        parts = [name for name in hdfs.names(work + "/out") if name.startswith("part-")]
        counts = parse_counts([hdfs.read(f"{work}/out/{name}") for name in parts])
        timed("compare", lambda: compare(Counter(TOKEN.findall(text)), counts))
        maps, hosts = task_hosts(params["historyserver_url"], job)
        if maps < params["blocks"]:
            raise SmokeError(f"the job had {maps} map tasks; {params['blocks']} were expected")
        report.append(f"YARN: {job} counted words in {maps} splits, all {len(counts)} words right")
        report.append("YARN: " + spread("tasks ran", hosts, params["nodemanager_hosts"]))
    finally:
        hdfs.delete(work)
    report.append("cleaned up: nothing of the test is left in HDFS")
    return {"report": report, "timeline": timeline, "job": job}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "namenode_url": {"type": "str", "required": True},
            "historyserver_url": {"type": "str", "required": True},
            "datanode_hosts": {"type": "list", "elements": "str", "required": True},
            "nodemanager_hosts": {"type": "list", "elements": "str", "required": True},
            "home": {"type": "path", "default": "/opt/hadoop"},
            "command": {"type": "path", "default": "/usr/local/bin/hadoop"},
            "blocks": {"type": "int", "default": 8},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=False,
    )
    os.umask(0o022)
    try:
        result = smoke(module)
    except (SmokeError, RestError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
