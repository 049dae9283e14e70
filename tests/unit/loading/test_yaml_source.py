"""YAML is read by the core schema of YAML 1.2, strictly, and within bounds."""

import math
from typing import Any

import pytest

from mtrigger.loading.nodes import Report, Source, plain
from mtrigger.loading.yaml_source import read_documents


def read(text: str) -> tuple[list[Any], list[str]]:
    """The plain values of all documents, and the mistakes."""
    report = Report()
    documents = [plain(node) for node in read_documents(Source("f", text), report)]
    return documents, [str(mistake).removeprefix("f:") for mistake in report.mistakes]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("False", False),
        ("NO", "NO"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2026-01-31", "2026-01-31"),
        ("0o17", 15),
        ("0x1F", 31),
        ("010", 10),
        ("-7", -7),
        ("0b11", "0b11"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("~", None),
        ("", None),
        ("null", None),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("=", "="),
    ],
)
def test_scalars_have_the_types_of_yaml_1_2(written: str, value: Any) -> None:
    """No flag but true and false, no sexagesimal numbers, no dates."""
    assert read(f"key: {written}\n") == ([{"key": value}], [])


def test_not_a_number_is_read() -> None:
    """`.nan` is a double."""
    ((document,), mistakes) = read("key: .NaN")
    assert math.isnan(document["key"])
    assert mistakes == []


def test_on_is_a_key() -> None:
    """YAML 1.1 would read the key `on` as true."""
    assert read("on: 1\noff: 2\n1: 3\ntrue: 4") == ([{"on": 1, "off": 2, "1": 3, "true": 4}], [])


def test_a_key_that_is_there_twice_is_a_mistake() -> None:
    """YAML parsers usually keep the last one without a word."""
    assert read("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")[1] == [
        "4:3: the key `c` is here twice (first in line 3); keep one",
        "5:1: the key `a` is here twice (first in line 1); keep one",
    ]


def test_aliases_and_merge_keys_are_understood() -> None:
    """What a mapping says itself wins over what `<<` brings, and earlier `<<` items win over later ones."""
    text = "base: &base {a: 1, b: 2}\nmore: &more {b: 3, c: 4}\nx: {<<: [*base, *more], a: 9}\ny: *base\n"
    ((document,), mistakes) = read(text)
    assert mistakes == []
    assert document["x"] == {"a": 9, "b": 2, "c": 4}
    assert document["y"] == {"a": 1, "b": 2}


def test_a_merge_key_takes_mappings_only() -> None:
    """`<<: text` is a mistake, not a key."""
    assert read("<<: text\na: 1")[1] == ["1:5: `<<` takes a mapping or a list of mappings"]


def test_aliases_that_multiply_are_refused() -> None:
    """The billion laughs: ten aliases of ten aliases of …"""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    ((message,)) = read("\n".join(lines))[1]
    assert "more than 20000 values" in message


def test_an_alias_of_itself_is_refused() -> None:
    """It would be a value without end."""
    assert read("a: &x [1, *x]")[1] == [
        "1:4: an alias stands inside its own anchor: this value would never end"
    ]


@pytest.mark.parametrize(
    "text", ["[" * 101 + "]" * 101, "- " * 150 + "x", "[" * 200_000, "- " * 200_000 + "x"]
)
def test_deep_nesting_is_refused(text: str) -> None:
    """Whatever the depth: libyaml would overflow the stack on the last two."""
    documents, mistakes = read(text)
    assert documents == []
    assert ["nested more than 100 levels deep" in mistake for mistake in mistakes] == [True]


def test_a_huge_file_is_refused() -> None:
    """A rule file is not data."""
    assert read("a: " + "x" * 600_000)[1] == ["1:1: the file is longer than 512 KiB; split it into several"]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("a:\n\t- b", "2:1: YAML takes no tabs for indentation; use spaces"),
        ("a: @b", "1:4: a value cannot begin with `@`; put it in quotes"),
        ("a: `b`", "1:4: a value cannot begin with ```; put it in quotes"),
        (
            "a: *b",
            (
                "1:4: this alias (`*name`) has no anchor (`&name`) before it; put text that begins "
                "with * in quotes"
            ),
        ),
        (
            "a: b: c",
            (
                "1:5: a `: ` inside a value, or a line that is indented too far; put a value that "
                "holds `: ` in quotes"
            ),
        ),
        (
            'a: "b" == c',
            "1:8: a key is expected here; if a value begins with a quote, put all of it in quotes",
        ),
        ("a: [b", "1:4: the list that begins here is not closed, or has no comma before line 2"),
        ("a: {b: 1", "1:4: the mapping that begins here is not closed, or has no comma before line 2"),
        ("a: 'b", "1:4: the quote that is opened here is never closed"),
        ("- a\nb: c", "2:1: a list item (`- …`) is expected here, as in the lines above"),
        ("a: 1\nb\nc: 2", "3:1: a `:` after the key is missing, in this line or the one before"),
        (
            "a: {{ b }}",
            '1:5: a key must be text; if this is a template, put the whole value in quotes: "{{ … }}"',
        ),
        ("a: !secret b", "1:4: the tag `!secret` is not known here; leave it out"),
        ("a: !!binary aGk=", "1:4: the tag `!!binary` is not known here; leave it out"),
        ("a: !!int b", "1:4: this value does not fit its tag"),
        ("a: b\x07", "1:5: the control character U+0007 is not allowed in YAML; remove it"),
        ("ü: 1\na: \x00", "2:4: the control character U+0000 is not allowed in YAML; remove it"),
    ],
)
def test_a_syntax_mistake_says_where_and_what_to_do(text: str, mistake: str) -> None:
    """One mistake, with its line and column, in words for people."""
    assert read(text)[1] == [mistake]


def test_a_number_too_long_to_read_is_a_mistake() -> None:
    """Python refuses to read integers of thousands of digits."""
    assert read("a: " + "9" * 5000)[1] == ["1:4: this value does not fit its tag"]


def test_a_file_may_hold_several_documents() -> None:
    """Empty ones, such as after a last `---`, do not count."""
    assert read("---\na: 1\n---\nb: 2\n---\n") == ([{"a": 1}, {"b": 2}], [])
