"""Regular expressions: the same as the server's, and never slow."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtrigger.conditions.regex_tree import RegexError
from mtrigger.conditions.regexes import compiled, literal, pattern


def _finds(source: str, text: str, options: str = "") -> bool:
    return compiled(pattern(source, options).re2)(text)


@pytest.mark.parametrize(
    ("source", "options", "text", "found"),
    [
        ("a$", "", "a\n", True),
        ("a$", "", "a\n\n", False),
        ("a\\Z", "", "a\n", True),
        ("a\\z", "", "a\n", False),
        ("^b$", "", "a\nb", False),
        ("^b$", "m", "a\nb\nc", True),
        ("(?m)^b", "", "a\nb", True),
        (".", "", "\n", False),
        (".", "s", "\n", True),
        (".", "", "\r", True),
        ("\\s", "", "\v", True),
        ("\\s", "", "\xa0", False),
        ("\\w", "", "é", False),
        ("\\w", "i", "\u017f", False),  # option i folds letters that are written, not those of \w
        ("s", "i", "\u017f", True),
        ("k", "i", "\u212a", True),
        ("[^\\wk]", "i", "\u212a", False),
        ("[\\w.]", "i", "\u212a", False),
        ("[[:upper:]]", "i", "a", True),
        ("[^a]", "i", "A", False),
        ("[]a]", "", "]", True),
        ("[a-]", "", "-", True),
        ("[\\b]", "", "\b", True),
        ("a{,3}", "", "a{,3}", True),
        ("a{2}", "", "aa", True),
        ("\\x{1F600}", "", "😀", True),
        ("(?<year>\\d{4})-(?P<month>\\d\\d)", "", "2026-01", True),
        ("a+?b*?", "", "a", True),
        ("[^\\w\\W]", "", "a", False),
        ("", "", "", True),
    ],
)
def test_a_pattern_means_what_pcre_makes_of_it(source: str, options: str, text: str, found: bool) -> None:
    """The places where RE2 by itself would differ."""
    assert _finds(source, text, options) is found


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("(?=a)", "look-around"),
        ("(?<!a)b", "look-around"),
        ("(a)\\1", "a back-reference"),
        ("\\k<x>", "a back-reference"),
        ("a++", "a possessive quantifier"),
        ("(?>a)", "a group that begins with `(?>`"),
        ("(*ACCEPT)a", "a verb"),
        ("\\p{L}", "a Unicode property"),
        ("a(?i)b", "a group that begins with `(?i`"),
        ("(?x)a", "option x"),
        ("\\Qa\\E", "`\\Q` is not supported"),
        ("\\va", "`\\v` is not supported"),
        ("a**", "two quantifiers in a row"),
        ("*a", "there is nothing for `*` to repeat"),
        ("{2}", "there is nothing for the quantifier to repeat"),
        ("a{3,2}", "upside down"),
        ("a{1001}", "a quantifier goes up to 1000"),
        ("(?:(?:a{100}){100})", "too large"),
        ("^*", "a repeated `^`"),
        ("a$b", "only supported at the end"),
        ("\\B", "has to follow `\\B`"),
        ("(a", "there is a `(` without its `)`"),
        ("a)", "there is a `)` without its `(`"),
        ("[a", "ends too early"),
        ("a\\", "ends too early"),
        ("[z-a]", "from a lower to a higher character"),
        ("[\\w-z]", "a range cannot begin with a class"),
        ("[a-\\d]", "from a lower to a higher character"),
        ("[:alpha:]", "a set that begins with `:`"),
        ("[[:alfa:]]", "is not a class of characters"),
        ("\\x1", "`\\x` needs two hexadecimal digits"),
        ("\\x{D800}", "there is no character"),
        ("(?<a>x)(?<a>y)", "is used once"),
        ("(" * 100 + ")" * 100, "nested more than 50 deep"),
        ("a" * 40_000, "at most 30000 bytes"),
        ("a\0b", "no zero among them"),
    ],
)
def test_what_could_differ_or_run_without_end_is_refused(source: str, message: str) -> None:
    """With a sentence that says which part."""
    with pytest.raises(RegexError) as caught:
        pattern(source)
    assert message in str(caught.value)


@pytest.mark.parametrize(("source", "options"), [("^$", "m"), ("\n^", "m"), ("ა", "i"), ("[^\\wა]", "i")])
def test_an_option_that_engines_read_differently_is_refused(source: str, options: str) -> None:
    """`^` after a last newline, and letters whose other case is new in Unicode."""
    with pytest.raises(RegexError, match="option"):
        pattern(source, options)


@pytest.mark.parametrize(
    ("source", "text"),
    [("^(a+)+$", "a"), ("^(a|aa)*b", "a"), ("(.*)*x", "a"), ("^(\\w+\\s?)*$", "a"), ("(x+x+)+y", "x")],
)
def test_a_pattern_that_backtracks_without_end_elsewhere_ends_here(source: str, text: str) -> None:
    """Each of these takes a backtracking engine longer than the age of the universe on these texts."""
    assert not _finds(source, text * 50_000 + "!\n\n")


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
@settings(max_examples=200, deadline=None)
def test_a_literal_text_is_found_exactly_where_it_stands(before: str, text: str, after: str) -> None:
    """`contains`, `startswith` and `endswith` take every text for itself."""
    whole = before + text + after
    assert compiled(literal(text, "", "").re2)(whole)
    assert compiled(literal(text, "^", "").re2)(whole) is whole.startswith(text)
    assert compiled(literal(text, "", "\\z").re2)(whole) is whole.endswith(text)


@given(
    st.text(alphabet="ab\\[]^$.|?*+(){},-:=!<>PdwsZzBxim0 é", max_size=15),
    st.sampled_from(["", "i", "m", "s"]),
)
@settings(max_examples=500, deadline=None)
def test_any_pattern_is_compiled_or_refused(source: str, options: str) -> None:
    """Nothing but RegexError comes out."""
    try:
        found = pattern(source, options)
    except RegexError:
        return
    assert compiled(found.re2)("ab") in (True, False)
