"""Addresses come from documents: what is accepted is an address and nothing more."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtrigger.actions.addresses import MailAddress, parse_address, parse_addresses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@example.com", MailAddress("", "a", "example.com")),
        ("  a@example.com ", MailAddress("", "a", "example.com")),
        ("a.b+c@mail.example.com", MailAddress("", "a.b+c", "mail.example.com")),
        ("root@localhost", MailAddress("", "root", "localhost")),
        ("Sales Manager <a@example.com>", MailAddress("Sales Manager", "a", "example.com")),
        ('"Manager, Sales" <a@example.com>', MailAddress("Manager, Sales", "a", "example.com")),
        (r'"A \"B\" C" <a@example.com>', MailAddress('A "B" C', "a", "example.com")),
        ("Jürgen Groß <a@bücher.example>", MailAddress("Jürgen Groß", "a", "xn--bcher-kva.example")),
        ("a@faß.de", MailAddress("", "a", "xn--fa-hia.de")),
        ("jürgen@example.com", MailAddress("", "jürgen", "example.com")),
    ],
)
def test_an_address_is_read(text: str, expected: MailAddress) -> None:
    """With or without a name; domains in their ASCII form."""
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nobody",
        "@example.com",
        "a@",
        "a@@example.com",
        "a@example..com",
        "a@-example.com",
        ".a@example.com",
        "a..b@example.com",
        "a b@example.com",
        "a@exam ple.com",
        "a@example.com>",
        "<a@example.com",
        "<<a@example.com>>",
        "a@example.com <b@example.com> c",
        "a@example.com\nBcc: c@example.com",
        "a@example.com\r\nRCPT TO:<c@example.com>",
        "a@example.com b@example.com",
        "a\x00@example.com",
        "a@example.com;b@example.com",
        "x" * 65 + "@example.com",
        "a@" + "x" * 64 + ".com",
        "a@" + "xx." * 100 + "com",
        "a@☃︎.\u2028",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """With a sentence that shows it."""
    with pytest.raises(ValueError, match=r"is not a mail address|an address is empty"):
        parse_address(text)


def test_several_addresses_are_parted_by_commas() -> None:
    """But not by those within quotes; nothing between two commas is no address."""
    found = parse_addresses('a@x.example, "B, b" <b@x.example>,, c@x.example ,')
    assert [(address.name, address.bare) for address in found] == [
        ("", "a@x.example"),
        ("B, b", "b@x.example"),
        ("", "c@x.example"),
    ]
    assert parse_addresses(" ") == ()


def test_a_flood_of_addresses_is_refused() -> None:
    """A document cannot turn one alert into thousands of mails."""
    with pytest.raises(ValueError, match="more than 200 addresses"):
        parse_addresses(",".join(f"a{number}@x.example" for number in range(201)))


@given(st.text() | st.from_regex(r"[^@]{0,20}<[^@]{1,10}@[^@]{1,20}>"))
def test_whatever_is_accepted_fits_into_an_smtp_command(text: str) -> None:
    """No spaces, brackets or control characters can reach the envelope."""
    try:
        found = parse_addresses(text)
    except ValueError:
        return
    for address in found:
        assert re.fullmatch(r"[^\s<>\x00-\x20\x7f-\xa0,;:\"\\()\[\]]+@[A-Za-z0-9._-]+", address.bare)
