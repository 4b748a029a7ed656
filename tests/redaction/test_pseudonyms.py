"""What stands in place of a find has its form, is the same for the same, and says nothing of it."""

from __future__ import annotations

import base64
import ipaddress
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.redaction.detectors import find
from shadowproxy.redaction.pseudonyms import Pseudonyms

PSEUDONYMS = Pseudonyms(b"k" * 32)
OTHERS = Pseudonyms(b"q" * 32)

VALUES = {
    "email": ("ada.lovelace+tag@mail.example.co.uk", "ada%40example.com"),
    "phone": ("+49 (0)30 1234-5678", "0171/1234567", "(555) 123-4567"),
    "card": ("4111111111111111", "5500 0000 0000 0004", "3782-822463-10005"),
    "iban": ("DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19"),
    "ipv4": ("192.168.10.4",),
    "ipv6": ("2001:0db8:85a3:0000:0000:8a2e:0370:7334", "fe80::1ff:fe23:4567:890a"),
    "jwt": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",),
    "api_key": ("sk-proj-abcDEF123456ghiJKL789", "ghp_0123456789abcdefghijABCDEFGHIJ012345"),
}
CASES = [(kind, value) for kind, values in VALUES.items() for value in values]


@pytest.mark.parametrize(("kind", "value"), CASES)
def test_a_pseudonym_has_the_form_of_what_it_stands_for(kind: str, value: str) -> None:
    made = PSEUDONYMS(kind, value)
    assert [(made[each.start : each.end], each.kind) for each in find(f"see {made} there")] or kind == "ipv6"
    found = find(f"tel {made} there")
    assert [each.kind for each in found] == [kind]
    assert found[0].end - found[0].start == len(made)


@pytest.mark.parametrize(("kind", "value"), CASES)
def test_the_same_value_has_the_same_pseudonym_under_one_key_alone(kind: str, value: str) -> None:
    made = PSEUDONYMS(kind, value)
    assert made == Pseudonyms(b"k" * 32)(kind, value)
    assert made != value
    assert made != OTHERS(kind, value)


def test_layout_of_numbers_stays() -> None:
    for kind, value in (("phone", "+49 (0)30 1234-5678"), ("card", "5500 0000 0000 0004"), ("iban", "GB29 NWBK 6016 1331 9268 19")):
        made = PSEUDONYMS(kind, value)
        assert [sign if not sign.isalnum() else "x" for sign in made] == [sign if not sign.isalnum() else "x" for sign in value]


def test_however_it_is_written_it_is_one_value() -> None:
    assert PSEUDONYMS("email", "Ada@Example.com") == PSEUDONYMS("email", "ada@example.com")
    assert PSEUDONYMS("card", "4111 1111 1111 1111").replace(" ", "") == PSEUDONYMS("card", "4111111111111111")
    assert PSEUDONYMS("ipv6", "2001:db8:0:0:0:0:0:1") == PSEUDONYMS("ipv6", "2001:db8::1")


def test_colleagues_share_a_domain() -> None:
    ada, grace = PSEUDONYMS("email", "ada@navy.example"), PSEUDONYMS("email", "grace@navy.example")
    assert ada != grace
    assert ada.partition("@")[2] == grace.partition("@")[2]


def test_a_token_decodes_and_names_nobody() -> None:
    claims = PSEUDONYMS("jwt", VALUES["jwt"][0]).split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"].startswith("redacted-")


def test_addresses_lie_in_ranges_that_nobody_has() -> None:
    assert ipaddress.ip_address(PSEUDONYMS("ipv4", "8.8.8.8")) in ipaddress.ip_network("10.0.0.0/8")
    assert ipaddress.ip_address(PSEUDONYMS("ipv6", "2a00::8")) in ipaddress.ip_network("2001:db8::/32")


def test_the_id_of_a_key_tells_keys_apart() -> None:
    assert PSEUDONYMS.key_id == Pseudonyms(b"k" * 32).key_id
    assert PSEUDONYMS.key_id != OTHERS.key_id


@given(st.sampled_from(["field", "secret", "token", "credentials", "private_key", "number", "api_key", "email"]), st.text(max_size=300))
def test_any_text_has_a_pseudonym(kind: str, value: str) -> None:
    made = PSEUDONYMS(kind, value)
    assert made
    assert made == PSEUDONYMS(kind, value)
    assert len(value) < 12 or value not in made
