"""The authority and its certificates: made, kept, renewed, made again after whatever happened to their files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from homeport.errors import HomeportError
from homeport.gateway.authority import LEAF_DAYS, Pair, names
from homeport.gateway.certificates import Kept, forget_others, keep

_NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
_HOSTS = ("nas.local", "mlflow.nas.local", "models.nas.local")


def _keep(directory: Path, after: float = 0, hosts: tuple[str, ...] = _HOSTS, domain: str = "nas.local") -> Kept:
    return keep(directory, domain, hosts, _NOW + timedelta(days=after))


def _leaf(kept: Kept) -> Pair:
    pair = Pair.loads(kept.file.read_bytes())
    assert pair is not None
    return pair


def _authority(directory: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())


def test_a_new_certificate_is_for_every_host_and_no_longer_than_browsers_take(tmp_path: Path) -> None:
    kept = _keep(tmp_path)
    leaf = _leaf(kept).certificate

    assert names(_leaf(kept)) == {*_HOSTS, "*.nas.local"}
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(days=LEAF_DAYS)
    assert leaf.not_valid_before_utc < _NOW
    leaf.verify_directly_issued_by(_authority(tmp_path))
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_the_authority_can_sign_for_its_domain_only(tmp_path: Path) -> None:
    _keep(tmp_path)
    extensions = _authority(tmp_path).extensions

    constraints = extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert constraints.value.permitted_subtrees == [x509.DNSName("nas.local")]
    basic = extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (basic.ca, basic.path_length) == (True, 0)


def test_keys_are_for_the_owner_and_the_authority_is_for_everybody(tmp_path: Path) -> None:
    kept = _keep(tmp_path)

    private = {kept.file, tmp_path / "authorities" / "nas.local.pem"}
    assert {file for file in tmp_path.rglob("*.pem") if b"PRIVATE KEY" in file.read_bytes()} == private
    assert {file.stat().st_mode & 0o777 for file in private} == {0o600}
    assert (tmp_path / "ca.pem").stat().st_mode & 0o777 == 0o644


def test_nothing_is_made_twice(tmp_path: Path) -> None:
    first = _keep(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.pem")}

    again = _keep(tmp_path, after=365)

    assert (again.file, again.new_authority, again.new_certificate) == (first.file, False, False)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*.pem")} == before


def test_a_certificate_is_renewed_in_its_last_month_by_the_same_authority(tmp_path: Path) -> None:
    first = _keep(tmp_path)

    again = _keep(tmp_path, after=367)

    assert (again.new_authority, again.new_certificate) == (False, True)
    assert again.file != first.file
    assert again.until > first.until
    forget_others(again.file)
    assert not first.file.exists()


def test_an_added_route_gets_a_certificate_and_a_removed_one_needs_none(tmp_path: Path) -> None:
    _keep(tmp_path)

    more = _keep(tmp_path, hosts=(*_HOSTS, "grafana.nas.local"))
    fewer = _keep(tmp_path)

    assert (more.new_authority, more.new_certificate) == (False, True)
    assert "grafana.nas.local" in names(_leaf(more))
    assert not fewer.new_certificate


def test_another_domain_has_another_authority_and_going_back_finds_the_first(tmp_path: Path) -> None:
    first = _keep(tmp_path)
    other = _keep(tmp_path, hosts=("x.test",), domain="x.test")
    back = _keep(tmp_path)

    assert (other.new_authority, other.new_certificate) == (True, True)
    assert (back.new_authority, back.fingerprint) == (False, first.fingerprint)
    assert _authority(tmp_path).extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees == [
        x509.DNSName("nas.local")
    ]


def test_an_authority_at_its_end_is_followed_by_another(tmp_path: Path) -> None:
    first = _keep(tmp_path)
    late = _keep(tmp_path, after=3600)

    assert (late.new_authority, late.new_certificate) == (False, True)
    assert late.until <= _authority(tmp_path).not_valid_after_utc
    assert _keep(tmp_path, after=3630).fingerprint != first.fingerprint


@pytest.mark.parametrize("file", ["leaf", "authority", "ca"])
@pytest.mark.parametrize("content", ["", "half", "garbage", "other key"])
def test_a_broken_file_is_made_again(tmp_path: Path, file: str, content: str) -> None:
    kept, other = _keep(tmp_path), _keep(tmp_path / "other")
    place = {"leaf": kept.file, "authority": tmp_path / "authorities" / "nas.local.pem", "ca": tmp_path / "ca.pem"}[
        file
    ]
    whole = place.read_bytes()
    certificate, mark, _key = whole.partition(b"-----END CERTIFICATE-----\n")
    foreign = other.file.read_bytes().partition(mark)[2]
    place.write_bytes(
        {"": b"", "half": whole[: len(whole) // 2], "garbage": b"\0\xff", "other key": certificate + mark + foreign}[
            content
        ]
    )

    again = _keep(tmp_path)

    _leaf(again).certificate.verify_directly_issued_by(_authority(tmp_path))
    assert again.new_certificate is (file != "ca")
    assert again.new_authority is (file == "authority")
    assert not _keep(tmp_path).new_certificate


def test_a_clock_that_was_ahead_leaves_no_certificate_that_does_not_hold_yet(tmp_path: Path) -> None:
    _keep(tmp_path, after=1000)

    again = _keep(tmp_path)

    assert (again.new_authority, again.new_certificate) == (True, True)
    assert _leaf(again).certificate.not_valid_before_utc < _NOW


def test_a_clock_before_this_program_is_refused_and_nothing_made(tmp_path: Path) -> None:
    with pytest.raises(HomeportError) as refused:
        keep(tmp_path, "nas.local", _HOSTS, datetime(1970, 1, 1, tzinfo=UTC))

    assert refused.value.code == "CLOCK_WRONG"
    assert list(tmp_path.iterdir()) == []


def test_a_long_domain_can_be_signed_for(tmp_path: Path) -> None:
    domain = ".".join(["a" * 60] * 3) + ".test"

    assert names(_leaf(_keep(tmp_path, hosts=(domain,), domain=domain))) == {domain, f"*.{domain}"}
