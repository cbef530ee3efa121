# Copyright (c) 2026 the labctl authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab's certificates over its life: once, again, renewed, renamed, rotated, interrupted, and asked for by many."""

from __future__ import annotations

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.labctl.stacks.plugins.module_utils.errors import InputError
from ansible_collections.labctl.stacks.plugins.module_utils.pki import Issued, Wanted, issue
from ansible_collections.labctl.stacks.plugins.module_utils.secret_folder import SecretFolder
from cryptography import x509
from cryptography.x509 import verification

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
DAY = timedelta(days=1)
WEB = Wanted("box", "web", ("box", "10.0.0.2"))


@pytest.fixture
def folder(tmp_path: Path) -> SecretFolder:
    return SecretFolder(tmp_path / "lab")


def files(folder: SecretFolder) -> dict[str, str]:
    return {
        str(path.relative_to(folder.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.path.rglob("*"))
        if path.is_file()
    }


def trusted(issued: Issued, by: str, name: str = "box", when: datetime = NOW) -> bool:
    """Whether a strict client that trusts the authorities ``by`` (PEM) takes the certificate for this name."""
    builder = verification.PolicyBuilder().store(verification.Store(x509.load_pem_x509_certificates(by.encode())))
    verifier = builder.time(when).build_server_verifier(x509.DNSName(name))
    try:
        verifier.verify(x509.load_pem_x509_certificate(issued.certificate.encode()), [])
    except verification.VerificationError:
        return False
    return True


def test_made_once_and_kept_to_the_byte(folder: SecretFolder) -> None:
    first = issue(folder, WEB, now=NOW)
    made = files(folder)
    assert first.reason == "there was none"
    assert first.ends == datetime(2027, 11, 22, 12, tzinfo=UTC)
    assert first.key == "pki/box/web.key"
    assert trusted(first, first.authorities[0])
    assert not trusted(first, first.authorities[0], "another")
    assert list(made) == ["pki/box/web.crt", "pki/box/web.key", "pki/ca-1.crt", "pki/ca-1.key"]
    assert {stat.S_IMODE((folder.path / name).stat().st_mode) for name in made if name.endswith(".key")} == {0o600}
    again = issue(folder, WEB, now=NOW + 300 * DAY)
    assert again == replace(first, reason="")
    assert files(folder) == made


def test_a_dry_run_makes_nothing_and_tells_the_reason_a_run_has(folder: SecretFolder) -> None:
    dry = issue(folder, WEB, dry=True, now=NOW)
    assert dry == Issued("", ("",), "", "there was none", None)
    assert not folder.path.parent.exists()
    assert issue(folder, WEB, now=NOW).reason == dry.reason
    made = files(folder)
    for wanted, now in (
        (replace(WEB, names=("box", "10.0.0.3")), NOW),
        (WEB, NOW + 340 * DAY),
        (replace(WEB, authorities=(2, 1)), NOW),
    ):
        dry = issue(folder, wanted, dry=True, now=now)
        assert dry.certificate == ""
        assert dry.key == "pki/box/web.key", "the key stays"
        assert files(folder) == made
        assert issue(folder, wanted, now=now).reason == dry.reason != ""
        made = files(folder)
    assert issue(folder, replace(WEB, authorities=(2, 3)), dry=True, now=NOW).authorities[1] == ""


def test_renewed_in_time_with_the_same_key(folder: SecretFolder) -> None:
    first, made = issue(folder, WEB, now=NOW), files(folder)
    assert issue(folder, WEB, now=NOW + 334 * DAY).reason == ""
    renewed = issue(folder, WEB, now=NOW + 335 * DAY)
    assert renewed.reason == "it ended on 2027-11-22"
    assert first.ends is not None and renewed.ends == NOW.replace(microsecond=0) + 700 * DAY
    changed = {name for name, digest in files(folder).items() if made.get(name) != digest}
    assert changed == {"pki/box/web.crt"}
    assert issue(folder, WEB, now=NOW + 336 * DAY).reason == ""


def test_issued_anew_when_its_names_change_in_whatever_order(folder: SecretFolder) -> None:
    issue(folder, WEB, now=NOW)
    assert issue(folder, replace(WEB, names=("10.0.0.2", "box", "box")), now=NOW).reason == ""
    renamed = issue(folder, replace(WEB, names=("box", "www.example.org")), now=NOW)
    assert renamed.reason == "its names were 10.0.0.2, box"
    assert trusted(renamed, renamed.authorities[0], "www.example.org")


def test_rotation_never_leaves_two_hosts_that_do_not_trust_each_other(folder: SecretFolder) -> None:
    steps = [(1,), (1, 2), (2, 1), (2,)]
    others = [replace(WEB, host=host, names=(host,)) for host in ("box", "other")]
    before = [issue(folder, wanted, now=NOW) for wanted in others]
    for authorities in steps[1:]:
        after = [issue(folder, replace(wanted, authorities=authorities), now=NOW) for wanted in others]
        # A host that has taken the step and one that has not, both ways.
        assert trusted(after[0], "".join(before[1].authorities))
        assert trusted(before[1], "".join(after[0].authorities), "other")
        before = after
    assert not trusted(before[0], (folder.path / "pki/ca-1.crt").read_text())
    (folder.path / "pki/ca-1.key").unlink()
    (folder.path / "pki/ca-1.crt").unlink()
    assert [issue(folder, replace(wanted, authorities=(2,)), now=NOW).reason for wanted in others] == ["", ""]


def test_an_authority_that_is_gone_is_made_anew_and_signs_all_again(folder: SecretFolder) -> None:
    first = issue(folder, WEB, now=NOW)
    for ending in ("key", "crt"):
        (folder.path / f"pki/ca-1.{ending}").unlink()
    second = issue(folder, WEB, now=NOW)
    assert second.reason == "authority 1 is to sign it"
    assert trusted(second, second.authorities[0])
    assert not trusted(second, first.authorities[0])


def test_an_authority_without_its_key_is_trusted_and_cannot_sign(folder: SecretFolder) -> None:
    first = issue(folder, WEB, now=NOW)
    (folder.path / "pki/ca-1.key").unlink()
    assert issue(folder, WEB, now=NOW) == replace(first, reason="")
    with pytest.raises(InputError, match=r"authority 1 must sign, but there is no .*/pki/ca-1\.key"):
        issue(folder, replace(WEB, host="another"), now=NOW)


def test_a_certificate_never_outlives_its_authority_which_says_when_it_ends(folder: SecretFolder) -> None:
    issue(folder, WEB, now=NOW)
    late = issue(folder, WEB, now=NOW + 3600 * DAY)
    assert late.ends == NOW.replace(microsecond=0) + 3650 * DAY
    assert issue(folder, WEB, now=NOW + 3619 * DAY).reason == ""
    with pytest.raises(InputError, match="authority 1 of the lab ends on 2036-11-19"):
        issue(folder, WEB, now=NOW + 3620 * DAY)
    assert issue(folder, replace(WEB, authorities=(2, 1)), now=NOW + 3700 * DAY).reason != ""


def test_a_run_killed_after_any_file_is_finished_by_the_next(folder: SecretFolder) -> None:
    issue(folder, WEB, now=NOW)
    for kept in range(4):
        order = ["pki/ca-1.key", "pki/ca-1.crt", "pki/box/web.key", "pki/box/web.crt"]
        before = files(folder)
        for name in order[kept:]:
            (folder.path / name).unlink()
        finished = issue(folder, WEB, now=NOW)
        assert trusted(finished, finished.authorities[0])
        assert all(files(folder)[name] == before[name] for name in order[:kept]), "what was there is used"


def test_hosts_that_ask_at_once_get_one_authority_and_one_key_each(folder: SecretFolder) -> None:
    def ask(number: int) -> Issued:
        return issue(SecretFolder(folder.path.parent), replace(WEB, host=f"box{number % 4}"), now=NOW)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(16)))
    assert len({answer.authorities for answer in answers}) == 1
    assert len({answer.certificate for answer in answers}) == 4
    assert sorted(answer.reason for answer in answers) == [""] * 12 + ["there was none"] * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ("no name",)}, "'no name' is neither a host name nor an address"),
        ({"names": ("bücher.example",)}, "'bücher.example' is neither a host name nor an address"),
        ({"names": ()}, "certificate web of box has no name"),
        ({"authorities": ()}, r"authorities are different numbers from 1, not \[\]"),
        ({"authorities": (1, 1)}, r"authorities are different numbers from 1, not \[1, 1\]"),
        ({"valid": 30 * DAY}, "valid for longer than it is renewed before its end"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    folder: SecretFolder, change: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        issue(folder, replace(WEB, **change), now=NOW)  # type: ignore[arg-type]
    assert not folder.path.exists()


@pytest.mark.parametrize("name", ["ca-1.crt", "ca-1.key", "box/web.key", "box/web.crt"])
def test_a_broken_file_is_named_and_kept(folder: SecretFolder, name: str) -> None:
    issue(folder, WEB, now=NOW)
    path = folder.path / "pki" / name
    path.write_text("-----BEGIN NONSENSE-----\n")
    with pytest.raises(InputError, match=f"{path} is not a (private key|certificate)"):
        issue(folder, replace(WEB, names=("box",)), now=NOW)
    assert path.read_text() == "-----BEGIN NONSENSE-----\n"
