# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal to labctl.stacks: the typed part of a lab file, as pydantic models, and their errors in plain words.

Imported by lab.py alone, and only when a lab is loaded: pydantic is needed on the controller, never on hosts.
"""

from __future__ import annotations

import contextlib
import difflib
import ipaddress
import keyword
import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from .labfile import Document, Path_, shown
from .stacks import STACKS, known_groups

PROVIDERS = ("nspawn", "static")
NAME_RULE = "a lower-case letter, then up to 30 lower-case letters, digits or dashes, not ending in a dash"
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,29}[a-z0-9])?", re.ASCII)
_SIZES = {"MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
#: Names that mean something else to Ansible or to every machine.
_TAKEN = {"all", "ungrouped", "localhost"}
#: Variables that providers set per host; a lab's own would silently lose against them.
_SERVED = {f"lab_{key}" for key in ("name", "id", "provider", "site", "role", "address", "controller_addresses")}


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that ``word`` most likely stands for, or an empty string."""
    found = difflib.get_close_matches(word.lower()[:100], list(known), n=1, cutoff=0.6)
    return found[0] if found else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A mend: the nearest known word where there is one, else all of them."""
    words = sorted(known)
    near = nearest(word, words)
    return f"did you mean {near}?" if near else f"known: {', '.join(words)}"


def _wrong(what: str, mend: str = "") -> PydanticCustomError:
    # pydantic's templates would read braces of the value, so that the text travels as a parameter.
    return PydanticCustomError("labctl", "{what}", {"what": what, "mend": mend})


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        mend = re.sub(r"[^a-z0-9]+", "-", value.lower()[:100]).strip("-")[:31].rstrip("-")
        raise _wrong(f"{shown(value)} is not a name: {NAME_RULE}", f"try {mend}" if _NAME.fullmatch(mend) else "")
    return value


def _host_name(value: str) -> str:
    _name(value)
    if value in _TAKEN or value in known_groups():
        raise _wrong(f"{shown(value)} is the name of {'a group' if value != 'localhost' else 'every machine'}")
    return value


def _one_of(kind: str, known: Iterable[str]) -> AfterValidator:
    words = tuple(known)

    def check(value: str) -> str:
        if value not in words:
            raise _wrong(f"no {kind} {shown(value)}", did_you_mean(value, words))
        return value

    return AfterValidator(check)


def _memory(value: object) -> object:
    if value is None or not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise _wrong(f"expected a size such as 2GiB, found {shown(value)}")
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(MiB|GiB|TiB)", str(value), re.ASCII)
    if not match:
        near = re.fullmatch(r"([0-9]{1,9}) ?([mgt])(?:i?b)?", str(value).lower(), re.ASCII)
        mend = f"write {near[1]}{near[2].upper()}iB" if near else "units: MiB, GiB, TiB"
        raise _wrong(f"expected a size such as 2GiB, found {shown(value)}", mend)
    size = int(float(match[1]) * _SIZES[match[2]])
    if not 64 * 2**20 <= size <= 64 * 2**40:
        raise _wrong(f"expected a size from 64MiB to 64TiB, found {shown(value)}")
    return size


def _subnet(value: str) -> str:
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError:
        mend = ""
        with contextlib.suppress(ValueError):
            mend = f"did you mean {ipaddress.IPv4Network(value, strict=False)}?" if "/" in value else "add /24"
        raise _wrong(f"expected an IPv4 network such as 10.87.3.0/24, found {shown(value)}", mend) from None
    usual = [ipaddress.IPv4Network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")]
    if not any(network.subnet_of(block) for block in usual):
        raise _wrong(f"{value} is not a private network", "take one out of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16")
    if not 16 <= network.prefixlen <= 29:
        raise _wrong(f"expected a network from /16 to /29, found {value}")
    return value


def _address(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        label = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
        if len(value) > 253 or not re.fullmatch(rf"{label}(\.{label})*", value, re.ASCII):
            raise _wrong(f"expected an IP address or a host name, found {shown(value)}") from None
        if re.fullmatch(r"[0-9.]+", value, re.ASCII):
            raise _wrong(f"{value} is not an IP address") from None
    return value


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", value, re.ASCII) or keyword.iskeyword(value):
        raise _wrong(f"{shown(value)} is not a variable name", "letters, digits and underscores, no digit first")
    if value in _SERVED or value.startswith("labctl_"):
        raise _wrong(f"{value} is set by labctl itself", "choose another name")
    return value


def _lease(value: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,4}[mhd]", value, re.ASCII):
        raise _wrong(f"expected a time such as 30m, 4h or 2d, found {shown(value)}")
    return value


def _image(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,63}", value, re.ASCII):
        raise _wrong(f"expected an image name such as debian-13, found {shown(value)}")
    return value


Name = Annotated[str, AfterValidator(_name)]
Variables = dict[Annotated[str, AfterValidator(_variable)], Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ProviderModel(_Strict):
    type: Annotated[str, _one_of("provider", PROVIDERS)]
    image: Annotated[str, AfterValidator(_image)] = "debian-13"
    subnet: Annotated[str, AfterValidator(_subnet)] | None = None


class HostModel(_Strict):
    groups: list[Annotated[str, _one_of("group", known_groups())]] = []
    count: Annotated[int, Field(ge=1, le=1000)] | None = None
    memory: Annotated[int, BeforeValidator(_memory)] | None = None
    cpus: Annotated[float, Field(gt=0, le=1024)] | None = None
    address: Annotated[str, AfterValidator(_address)] | None = None
    vars: Variables = {}


class LabModel(_Strict):
    name: Name
    provider: ProviderModel
    hosts: dict[Annotated[str, AfterValidator(_host_name)], HostModel]
    stacks: list[Annotated[str, _one_of("stack", STACKS)]] = []
    vars: Variables = {}
    lease: Annotated[str, AfterValidator(_lease)] | None = None


_FIELDS = {
    "": tuple(LabModel.model_fields),
    "provider": tuple(ProviderModel.model_fields),
    "hosts": tuple(HostModel.model_fields),
}
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_MISSING = {
    "name": "for example name: demo",
    "provider": "for example provider: nspawn",
    "hosts": "for example hosts: {head: {}}",
    "type": f"one of {', '.join(PROVIDERS)}",
}


def validate(data: Any, document: Document) -> LabModel | None:
    """The typed lab, or None after every error of it went into ``document.findings``."""
    if not isinstance(data, dict):
        document.add((), f"expected a mapping with name, provider and hosts, found {shown(data)}")
        return None
    short = isinstance(data.get("provider"), str)
    if short:
        data = {**data, "provider": {"type": data["provider"]}}
    try:
        return LabModel.model_validate(data)
    except ValidationError as exc:
        for error in exc.errors(include_url=False):
            _explain(error, document, short)
        return None


def _explain(error: Any, document: Document, short: bool) -> None:
    path: Path_ = tuple(part for part in error["loc"] if part != "[key]")
    if short and path[:1] == ("provider",):
        path = ("provider",)
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    last = str(path[-1]) if path else ""
    if kind == "labctl":
        document.add(path, context["what"], context["mend"])
    elif kind == "extra_forbidden":
        known = _FIELDS[str(path[0]) if len(path) > 1 else ""]
        document.add(path, "unknown key", did_you_mean(last, known))
    elif kind == "missing":
        document.add(path, "this key is missing", _MISSING.get(last, ""))
    elif kind in _EXPECTED:
        plain = isinstance(value, (int, float)) and kind == "string_type"
        mend = f'write "{value}"'.replace("True", "true").replace("False", "false") if plain else ""
        document.add(path, f"expected {_EXPECTED[kind]}, found {shown(value)}", mend)
    elif last == "count":
        document.add(path, f"expected a whole number from 1 to 1000, found {shown(value)}")
    elif last == "cpus":
        document.add(path, f"expected a number above 0 and at most 1024, found {shown(value)}")
    else:
        document.add(path, str(error["msg"]))
