# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab model: a valid file in full, and every kind of mistake, all reported at once."""

from __future__ import annotations

import builtins
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError, PreflightError
from ansible_collections.labctl.stacks.plugins.module_utils.lab import (
    ODD_GROUPS,
    OPTIONAL_GROUPS,
    SINGLE_GROUPS,
    HostSpec,
    ProviderSpec,
    load_lab,
)
from ansible_collections.labctl.stacks.plugins.module_utils.stacks import STACKS, known_groups

GOOD = """\
name: demo
provider: nspawn
hosts:
  head: {groups: [hdfs_namenode, yarn_resourcemanager, mapred_historyserver], memory: 2GiB, cpus: 1.5}
  worker: {count: 2, groups: [hdfs_datanode, yarn_nodemanager], vars: {rack: "{{ lookup('pipe', 'id') }}"}}
stacks: [hadoop]
vars: {hdfs_replication: 2}
lease: 4h
"""


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str) -> Path:
    path = Path("lab.yml")
    path.write_text(text, encoding="utf-8")
    return path


def refused(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_lab(write(text))
    assert caught.value.exit_code == 2
    return [str(finding) for finding in caught.value.findings]


def test_a_good_file(tmp_path: Path) -> None:
    lab = load_lab(write(GOOD))
    worker = {"groups": ("hdfs_datanode", "yarn_nodemanager"), "vars": {"rack": "{{ lookup('pipe', 'id') }}"}}
    assert lab.name == "demo"
    assert lab.provider == ProviderSpec("nspawn", "debian-13", None)
    assert lab.hosts == (
        HostSpec("head", ("hdfs_namenode", "yarn_resourcemanager", "mapred_historyserver"), memory=2 * 2**30, cpus=1.5),
        HostSpec("worker1", **worker),  # type: ignore[arg-type]
        HostSpec("worker2", **worker),  # type: ignore[arg-type]
    )
    assert (lab.stacks, lab.vars, lab.lease) == (("hadoop",), {"hdfs_replication": 2}, "4h")
    assert (lab.spec, lab.lab_dir, lab.inventory) == (
        tmp_path / "lab.yml",
        tmp_path / ".labctl",
        tmp_path / "nspawn.yml",
    )
    assert lab.groups()["hdfs_datanode"] == ["worker1", "worker2"]
    assert list(tmp_path.iterdir()) == [tmp_path / "lab.yml"], "loading touches nothing"


def test_a_lab_file_in_the_lab_folder_has_that_folder(tmp_path: Path) -> None:
    (tmp_path / ".labctl").mkdir()
    (tmp_path / ".labctl/lab.yml").write_text(GOOD, encoding="utf-8")
    assert load_lab(Path(".labctl/lab.yml")).lab_dir == tmp_path / ".labctl"


def test_a_count_of_one_is_numbered_so_that_it_can_grow() -> None:
    lab = load_lab(write("name: a\nprovider: nspawn\nhosts: {n: {count: 1}, m: {}}\n"))
    assert [host.name for host in lab.hosts] == ["n1", "m"]


def test_every_error_at_once_with_its_line() -> None:
    said = refused(
        """\
nme: Demo
provider: {type: nspwn, subnet: 10.0.0.1/24, imge: x}
hosts:
  head:   {groups: [hdfs_namenod, yarn_resourcemanager, 7], memory: 2G, cpus: 0}
  head: {}
  "{{ x }}": {}
  worker1: {groups: foo}
  no: {}
  worker: {count: 2000, groups: [hdfs_datanode, yarn_nodemanager], country: no}
stacks: [hadop]
vars: {a-b: 2, date: 2020-01-01, mode: 0644, k: {x: 1:30}}
lease: 4 hours
"""
    )
    rule = "a lower-case letter, then up to 30 lower-case letters, digits or dashes, not ending in a dash"
    assert sorted(said) == sorted(
        [
            "lab.yml:1 name: this key is missing (for example name: demo)",
            "lab.yml:1 nme: unknown key (did you mean name?)",
            'lab.yml:2 provider.type: no provider "nspwn" (did you mean nspawn?)',
            "lab.yml:2 provider.subnet: expected an IPv4 network such as 10.87.3.0/24, "
            'found "10.0.0.1/24" (did you mean 10.0.0.0/24?)',
            "lab.yml:2 provider.imge: unknown key (did you mean image?)",
            'lab.yml:4 hosts.head.groups[0]: no group "hdfs_namenod" (did you mean hdfs_namenode?)',
            'lab.yml:4 hosts.head.groups[2]: expected text, found 7 (write "7")',
            'lab.yml:4 hosts.head.memory: expected a size such as 2GiB, found "2G" (write 2GiB)',
            "lab.yml:4 hosts.head.cpus: expected a number above 0 and at most 1024, found 0",
            "lab.yml:5 hosts.head: this key is already there, on line 4 (keep one)",
            f'lab.yml:6 hosts."{{{{ x }}}}": "{{{{ x }}}}" is not a name: {rule} (try x)',
            'lab.yml:7 hosts.worker1.groups: expected a list, found "foo"',
            'lab.yml:8 hosts.no: YAML reads this key as bool, not text (write "no")',
            'lab.yml:9 hosts.worker.country: YAML reads no as false (write "no" for the word, or false)',
            "lab.yml:9 hosts.worker.count: expected a whole number from 1 to 1000, found 2000",
            "lab.yml:9 hosts.worker.country: unknown key (did you mean count?)",
            'lab.yml:10 stacks[0]: no stack "hadop" (did you mean hadoop?)',
            'lab.yml:11 vars.date: YAML reads 2020-01-01 as a date (write "2020-01-01" for the text)',
            'lab.yml:11 vars.mode: YAML reads 0644 as a number in another base or form (write "0644" for the text)',
            'lab.yml:11 vars.k.x: YAML reads 1:30 as a number in another base or form (write "1:30" for the text)',
            'lab.yml:11 vars.a-b: "a-b" is not a variable name (letters, digits and underscores, no digit first)',
            'lab.yml:12 lease: expected a time such as 30m, 4h or 2d, found "4 hours"',
        ]
    )
    lines = [int(line.split(":")[1].split()[0]) for line in said]
    assert lines == sorted(lines)


BARE = "name: a\nprovider: nspawn\nhosts: "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("just text", 'lab.yml:1: expected a mapping with name, provider and hosts, found "just text"'),
        ("[1]", "lab.yml:1: expected a mapping with name, provider and hosts, found a list"),
        (BARE + "{}",
         "lab.yml:3 hosts: a lab needs at least one host (for example hosts: {head: {}})"),
        (BARE + "[a]",
         "lab.yml:3 hosts: expected a mapping, found a list"),
        (BARE + "{a: }",
         "lab.yml:3 hosts.a: expected a mapping, found nothing"),
        (BARE + "{w: {count: 2}, w1: {}}",
         "lab.yml:3 hosts.w1: host w1 is also made by hosts.w (rename one of them)"),
        (BARE + "{w: {count: 0}}",
         "lab.yml:3 hosts.w.count: expected a whole number from 1 to 1000, found 0"),
        (BARE + "{w: {count: two}}",
         'lab.yml:3 hosts.w.count: expected a whole number, found "two"'),
        (BARE + "{w: {count: 600}, v: {count: 600}}",
         "lab.yml:3 hosts: 1200 hosts are more than a lab can have, which is 1000"),
        (BARE + "{a: {groups: [gpu]}}",
         f'lab.yml:3 hosts.a.groups[0]: no group "gpu" (known: {", ".join(sorted(known_groups()))})'),
        (BARE + "{a: {groups: [hdfs_datanode]}}",
         "lab.yml:3 hosts.a.groups[0]: group hdfs_datanode is of stack hadoop, which stacks does not list"),
        (BARE + "{localhost: {}}",
         'lab.yml:3 hosts.localhost: "localhost" is the name of every machine'),
        (BARE + "{a: {address: 10.0.0.1}}",
         "lab.yml:3 hosts.a.address: provider nspawn gives addresses itself (leave it out)"),
        (BARE + "{a: {memory: 1}}",
         "lab.yml:3 hosts.a.memory: expected a size such as 2GiB, found 1 (units: MiB, GiB, TiB)"),
        (BARE + "{a: {memory: 1MiB}}",
         'lab.yml:3 hosts.a.memory: expected a size from 64MiB to 64TiB, found "1MiB"'),
        (BARE + "{a: {vars: {lab_id: x}}}",
         "lab.yml:3 hosts.a.vars.lab_id: lab_id is set by labctl itself (choose another name)"),
        (BARE + "{a: {}}\nstacks: hadoop",
         'lab.yml:4 stacks: expected a list, found "hadoop"'),
        ("name: a\nprovider: {type: nspawn, subnet: 8.8.8.0/24}\nhosts: {a: {}}",
         "lab.yml:2 provider.subnet: 8.8.8.0/24 is not a private network "
         "(take one out of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16)"),
        ("name: a\nprovider: {type: nspawn, subnet: 10.1.1.0/29}\nhosts: {a: {count: 6}}",
         "lab.yml:2 provider.subnet: 10.1.1.0/29 has room for 5 hosts, the lab has 6 (widen it)"),
        ("name: a\nprovider: static\nhosts: {a: {}}",
         "lab.yml:3 hosts.a: provider static needs an address for each host (address: 192.0.2.10)"),
        ("name: a\nprovider: static\nhosts:\n  a: {address: h.example}\n  b: {address: H.example}",
         "lab.yml:5 hosts.b.address: H.example is also the address of a"),
        ("name: a\nprovider: static\nhosts: {a: {address: -oProxyCommand=x}}",
         'lab.yml:3 hosts.a.address: expected an IP address or a host name, found "-oProxyCommand=x"'),
        ("name: a\nprovider: static\nhosts: {a: {address: 10.0.0.1, memory: 1GiB}}",
         "lab.yml:3 hosts.a.memory: provider static takes no such setting (its hosts exist already)"),
        ("name: a\nhosts: {a: {}}", "lab.yml:1 provider: this key is missing (for example provider: nspawn)"),
    ],
    ids=lambda value: value[-24:],
)  # fmt: skip
def test_one_mistake_one_finding(text: str, expected: str) -> None:
    assert refused(text) == [expected]


@pytest.mark.parametrize(
    "name",
    [
        "a/b",
        "a b",
        "{{ x }}",
        "a\nb",
        "ünï",
        "x" * 300,
        "-rf",
        "../up",
        "$(id)",
        ";id",
        "A",
        "1a",
        "a_b",
        "a.b",
        "",
        "a-",
        "‮a",
    ],
)
def test_names_that_are_none(name: str) -> None:
    said = refused(f"name: a\nprovider: nspawn\nhosts: {{{json.dumps(name)}: {{}}}}\n")
    assert len(said) == 1
    assert "is not a name" in said[0]
    assert said[0].isprintable()
    said = refused(f"name: {json.dumps(name)}\nprovider: nspawn\nhosts: {{a: {{}}}}\n")
    assert len(said) == 1
    assert said[0].startswith("lab.yml:1 name: ")


def test_a_stack_needs_a_host_in_each_of_its_groups() -> None:
    said = refused(BARE + "{a: {groups: [hdfs_namenode, hdfs_datanode, yarn_nodemanager]}}\nstacks: [hadoop]\n")
    assert said == [
        "lab.yml:3 hosts: stack hadoop needs a host in group yarn_resourcemanager "
        "(it runs the YARN ResourceManager; one host)",
        "lab.yml:3 hosts: stack hadoop needs a host in group mapred_historyserver "
        "(it runs the MapReduce JobHistory server; one host)",
    ]


def test_a_daemon_that_exists_once_takes_one_host() -> None:
    groups = ", ".join(sorted(set(STACKS["hadoop"].groups) - OPTIONAL_GROUPS))
    said = refused(BARE + f"{{a: {{count: 2, groups: [{groups}]}}}}\nstacks: [hadoop]\n")
    assert said == [f"lab.yml:3 hosts: group {group} takes one host, has 2: a1, a2" for group in
                    ("hdfs_namenode", "yarn_resourcemanager", "mapred_historyserver")]  # fmt: skip


def test_masters_that_agree_by_majority_are_an_odd_number() -> None:
    text = BARE + "{m: {count: %s, groups: [k8s_master]}, n: {groups: [k8s_node]}}\nstacks: [k8s]\n"
    assert refused(text % 2) == [
        "lab.yml:3 hosts: group k8s_master takes an odd number of hosts, has 2 "
        "(an even one survives no more failures than one fewer)"
    ]
    load_lab(write(text % 3))


def test_groups_named_here_are_groups_of_stacks() -> None:
    assert known_groups().keys() >= OPTIONAL_GROUPS | SINGLE_GROUPS | ODD_GROUPS


def test_a_linked_lab_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".labctl").symlink_to("elsewhere")
    assert refused(GOOD) == ["lab.yml:1: the lab folder .labctl is a link (make it a folder)"]


def test_the_id_is_made_once_and_kept(tmp_path: Path) -> None:
    lab = load_lab(write(GOOD))
    assert lab.lab_id() == ""
    assert not lab.lab_dir.exists()
    made = lab.lab_id(create=True)
    assert len(bytes.fromhex(made)) == 8
    assert (lab.lab_id(), lab.lab_id(create=True), load_lab(Path("lab.yml")).lab_id()) == (made, made, made)
    assert [path.name for path in lab.lab_dir.iterdir()] == ["id"]


@pytest.mark.parametrize("content", ["", "nonsense", "../../etc", "0123456789abcdef0", "\x00"])
def test_a_damaged_id_is_refused_not_replaced(content: str) -> None:
    lab = load_lab(write(GOOD))
    lab.lab_dir.mkdir()
    (lab.lab_dir / "id").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="does not hold a lab's id"):
        lab.lab_id(create=True)
    assert (lab.lab_dir / "id").read_text(encoding="utf-8") == content


def test_without_pydantic_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "pydantic":
            raise ImportError("No module named 'pydantic'", name="pydantic")
        return original(name, *args, **kwargs)

    for module in [name for name in sys.modules if name.endswith(".labschema") or name.split(".")[0] == "pydantic"]:
        monkeypatch.delitem(sys.modules, module)
    package = sys.modules["ansible_collections.labctl.stacks.plugins.module_utils"]
    monkeypatch.delattr(package, "labschema", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PreflightError) as caught:
        load_lab(write(GOOD))
    assert str(caught.value) == "reading a lab file needs the Python package pydantic on this machine"
    assert caught.value.hint == "pip install pydantic, in the environment that Ansible runs in"


def test_loading_a_lab_does_not_import_ansible() -> None:
    write(GOOD)
    code = (
        "import sys; from pathlib import Path;"
        "from ansible_collections.labctl.stacks.plugins.module_utils.lab import load_lab;"
        "load_lab(Path('lab.yml')); print([m for m in sys.modules if m.split('.')[0] in ('ansible', 'ansible_runner')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.stdout == "[]\n"


def test_mutated_files_end_in_a_lab_or_in_findings() -> None:
    """Bytes changed, lines swapped, pieces repeated: whatever comes of it, no other exception."""
    chance = random.Random(20261122)  # noqa: S311  (not for secrets)
    pieces = [
        "{",
        "}",
        "[",
        "]",
        ":",
        "- ",
        "&a",
        "*a",
        "!!int",
        "\t",
        "\x00",
        "é",
        "no",
        "0x",
        "1e999",
        "<<: ",
        "? ",
        "|",
        "%",
        "'",
        '"',
        "9" * 5000,
    ]
    seen = set()
    for _ in range(1500):
        text = list(GOOD)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(text))
            change = chance.randrange(4)
            if change == 0:
                del text[at : at + chance.randint(1, 12)]
            elif change == 1:
                text[at:at] = chance.choice(pieces)
            elif change == 2:
                text[at:at] = text[at : at + chance.randint(1, 60)]
            else:
                text[at] = chance.choice(pieces)[0]
            if not text:
                text = ["a"]
        Path("lab.yml").write_text("".join(text), encoding="utf-8")
        try:
            load_lab(Path("lab.yml"))
            seen.add("lab")
        except InputError as exc:
            assert all(finding.where.startswith("lab.yml:") for finding in exc.findings)
            assert all(str(finding).isprintable() for finding in exc.findings), exc.findings
            seen.add("findings")
    assert seen == {"lab", "findings"}
