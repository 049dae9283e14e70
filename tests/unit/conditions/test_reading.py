"""What can be written, what cannot, and how that is said."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtrigger.conditions import Condition, Reading, parse
from mtrigger.errors import ConditionError


def _mistake(text: str) -> ConditionError:
    with pytest.raises(ConditionError) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "column", "message", "expected"),
    [
        ("", 1, "the condition is empty", "a condition such as amount > 10000"),
        ("amount >", 9, "the condition ends too early", "a value"),
        ("(amount > 5", 12, "the condition ends too early", "`)`"),
        ("amount 5", 8, "`5` does not fit here", "a comparison such as `==`, `in`, `and`, `or` or the end"),
        ("a > 5 && b", 7, "write `and` instead of `&&`", "a comparison such as `==`, `and`, `or` or the end"),
        ("a > 5 || b", 7, "write `or` instead of `||`", "a comparison such as `==`, `and`, `or` or the end"),
        (
            "a > 5 AND b",
            7,
            "write `and` in small letters",
            "a comparison such as `==`, `and`, `or` or the end",
        ),
        (
            "NOT a",
            5,
            "write `not` in small letters",
            "a comparison such as `==`, `in`, `and`, `or` or the end",
        ),
        ("!a", 1, "write `not` instead of `!`", "a value or a condition"),
        ("a = 5", 3, "write `==` to compare", "a comparison such as `==`, `in`, `and`, `or` or the end"),
        (
            "a => 5",
            3,
            "write `>=` instead of `=>`",
            "a comparison such as `==`, `in`, `and`, `or` or the end",
        ),
        ("a > = 5", 5, "an operator has no space inside: write `>=`", "a value"),
        ("a == None", 6, "write `null` instead of `None` ($.None for a field of that name)", ""),
        ("a > 1_000", 5, "a number is written without `_`", "a value"),
        ("a > 5.", 5, "a number needs a digit after its point", "a value"),
        ("a > .5", 5, "a number begins with a digit: 0.5", "a value"),
        ("a > 99999999999999999999", 5, "a whole number has at most 64 bits; write it as 1e19", ""),
        ("a > 1e999", 5, "this number is too large for a double", ""),
        ("a == 'x", 6, "the string that begins here is not closed", "a value"),
        ("a == “x”", 6, "use straight quotation marks", "a value"),
        ("items[0].price > 5", 6, "an element of an array is written items.0.price", "a comparison"),
        ("a in b", 6, "`in` needs a list", 'a list such as ["new", "paid"]'),
        ("a in [b]", 7, "a list holds literals only", "a string, a number, date(…) or oid(…)"),
        ("a and 5", 7, "`5` is a value, not a condition", "a comparison"),
        ("(a > 5) > 6", 1, "`a > 5` is a condition, not a value", "a path, a literal or a calculation"),
        ("a + 'x' > 5", 5, "strings cannot be added", "a number, a date or a duration"),
        ("a - true > 5", 5, "`true` cannot be calculated with", "a number, a date or a duration"),
        ("1 / 0 > a", 3, "`1 / 0` has no value", ""),
        ("lenn(a) > 5", 1, "there is no function `lenn`; did you mean `len`?", ""),
        ("f(a)", 1, "there is no function `f`; the functions are exists, len", ""),
        ("len > 5", 1, "`len` is a function; write `len(…)`, or $['len'] for a field of that name", ""),
        ("len()", 5, "`len` takes 1 argument, not none", "len(path)"),
        ("len(a, b) > 1", 8, "`len` takes 1 argument, not 2", "len(path)"),
        ("len('x') > 1", 5, "`'x'` is not a path", "a path such as customer.name"),
        ("matches(a, b)", 12, "`b` is not a string in quotes", "a string in quotes"),
        ("matches(a, '(?=x)')", 12, "regular expressions here run in linear time: look-around", ""),
        ("matches(a, 'x', 'x')", 12, "there is no option 'x' here, only i, m and s", ""),
        ("changed($.a[*])", 9, "`$.a[*]` is not a plain path in the document", "a path such as"),
        ("became(before.x > 5)", 8, "`before.x` cannot stand in became(…)", ""),
        ("became(changed(x))", 8, "`changed(x)` cannot stand in became(…)", ""),
        ('became("x")', 8, '`"x"` is not a condition', 'a condition such as status == "paid"'),
        ("date('2026-02-30') > a", 6, '"2026-02-30" is not a date', '"2026-01-31" or'),
        ("date('soon') > a", 6, '"soon" is not a date', '"2026-01-31" or'),
        ("oid('x') == a", 5, '"x" is not an ObjectId', "24 hexadecimal digits"),
        ("a > duration('5 min')", 14, '"5 min" is not a duration', '"500ms", "30s", "5m", "2h" or "7d"'),
        ("a changed", 10, "the condition ends too early", "`from` or `to`"),
        ("a changed form 1", 11, "`form` does not fit here", "`from` or `to`"),
        ("a changed from", 15, "the condition ends too early", "a value"),
        ("before.a changed to 1", 1, "only a field of the document changes", "a path such as status"),
        ("$.a[*] changed to 1", 1, "only a field of the document changes", "a path such as status"),
        ("a changed to (b > 1)", 14, "`b > 1` is a condition, not a value", "a path, a literal"),
        ("became(a changed to 1)", 8, "`changed(a)` cannot stand in became(…)", ""),
        ("before > 5", 1, "`before` is a whole document", "before.field, exists(before), or $.before"),
        ("event", 1, "`event` is more than one value", "one of event.operation"),
        ("event.opertion == 'x'", 1, "an event has no `opertion`; did you mean `event.operation`?", ""),
        ("event.time.x == 5", 1, "`event.time` has nothing below it", ""),
        ("document.amount > 5", 1, "names are paths in the document: write `amount`", ""),
        ("$.a[ > 5", 4, "an element of an array is written", "a comparison"),
        ("$..x..y > 5", 1, "a JSONPath may search all levels (`..`) once", "a JSONPath such as"),
        ("$ == 5", 1, "a JSONPath begins with a field of the document", "a path such as"),
        ("$.a[?(@.b =~ 'x')] == 5", 1, "the operator =~ is not supported in a JSONPath", ""),
        ("a.b. > 5", 4, "a path goes on after its dot, without a space", "a comparison"),
        ("$.x" + "[*]" * 20 + " > 5", 1, "a path has at most 10 times `[*]`", ""),
        ("x" + ".x" * 200 + " > 5", 1, "a path has at most 100 steps", ""),
    ],
)
def test_a_mistake_says_what_where_and_what_was_expected(
    text: str, column: int, message: str, expected: str
) -> None:
    """People mend a condition by its message alone."""
    mistake = _mistake(text)
    assert (mistake.line, mistake.column) == (1, column)
    assert mistake.message.startswith(message)
    assert mistake.expected.startswith(expected)


@pytest.mark.parametrize(
    ("short", "whole"),
    [
        ("a changed from 1 to 2", "changed(a) and before.a == 1 and a == 2"),
        ("a.b changed from null", "changed(a.b) and before.a.b == null"),
        ("a changed to b + 1", "changed(a) and a == b + 1"),
        ("a > 1 and a changed to 2 or b", "a > 1 and (changed(a) and a == 2) or b"),
        ("not a changed to 2", "not (changed(a) and a == 2)"),
        (
            "changed(from) and to changed from from to to",
            "changed(from) and (changed(to) and before.to == from and to == to)",
        ),
    ],
)
def test_what_changed_from_and_to_is_short_for(short: str, whole: str) -> None:
    """The same in words, in what it reads and in what is pushed down. `from` and `to` stay names."""
    one, other = parse(short), parse(whole)
    assert (one.reads, one.alternatives) == (other.reads, other.alternatives)
    assert one.pushdown("fullDocument").filter == other.pushdown("fullDocument").filter
    assert one.describe().replace("(", "").replace(")", "") == other.describe().replace("(", "").replace(
        ")", ""
    )


def test_a_mistake_in_a_later_line_carries_its_line() -> None:
    """Conditions may be long block scalars."""
    mistake = _mistake("amount > 5\nand status ==\n\n  = 3")
    assert (mistake.line, mistake.column) == (4, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a > 5 or " * 1200 + "b", "at most 10,000 characters"),
        ("a or " * 1500 + "b", "at most 1,000 parts"),
        ("(" * 3000 + "a" + ")" * 3000, "nested at most 50 deep"),
        ("[" * 3000, "nested at most 50 deep"),
        ("not " * 2000 + "a", "nested at most 50 deep"),
        ("- " * 2000 + "a > 5", "nested at most 50 deep"),
        ("lower(" * 1000 + "a" + ")" * 1000 + " == 'x'", "nested at most 50 deep"),
        ("a > 5 < " * 1000 + "6", "at most 1,000 parts"),
    ],
)
def test_a_condition_too_long_or_too_deep_is_refused(text: str, message: str) -> None:
    """Whatever the input, reading ends with a mistake and not with an exhausted stack."""
    assert message in _mistake(text).message


def test_brackets_in_strings_are_no_nesting() -> None:
    """A regular expression may hold many of them."""
    assert parse('a == "' + "(" * 100 + '"').tree is not None


PIECES = st.sampled_from(
    [
        "a",
        "b.0",
        "$.x[*]",
        "$",
        "5",
        "1e3",
        "'x'",
        '"',
        "(",
        ")",
        "[",
        "]",
        ",",
        "and",
        "or",
        "not",
        "in",
        "==",
        "<",
        ">",
        "=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "len",
        "len(",
        "matches(",
        "now()",
        "date(",
        "became(",
        "null",
        "\\",
        "\n",
        "..",
        "€",
    ]
)


@given(
    st.one_of(
        st.text(max_size=60), st.lists(PIECES, max_size=25).map(" ".join), st.lists(PIECES).map("".join)
    )
)
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_or_refused_as_a_condition(text: str) -> None:
    """Nothing but ConditionError ever comes out of `parse`, with a place inside the text."""
    found = _read(text)
    if isinstance(found, ConditionError):
        lines = text.split("\n")
        assert 1 <= found.line <= len(lines)
        assert 1 <= found.column <= len(lines[found.line - 1]) + 1
        assert found.message
    else:
        assert found.text == text
        assert found.describe()


def _read(text: str) -> Condition | ConditionError:
    try:
        return parse(text)
    except ConditionError as mistake:
        return mistake


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        (r"'it\'s'", "it's"),
        (r'"a\n\t\\"', "a\n\t\\"),
        (r'"^\d+\.$"', r"^\d+\.$"),
        (r'"\u00e9\ud83d\ude00\u{1F600}"', "é😀😀"),
        ("1e3", 1000.0),
        ("-7", -7),
        ("2 * 3 + 1", 7),
        ('duration("2h")', 7_200_000),
        ('[1, "a", null, [true]]', [1, "a", None, [True]]),
    ],
)
def test_a_literal_means_its_value(literal: str, value: object) -> None:
    """Escapes, numbers and what can be worked out at once."""
    condition = parse(f"a == {literal}")
    assert condition.pushdown("fullDocument").filter == {"fullDocument.a": {"$eq": value}}


def test_a_condition_tells_what_it_reads() -> None:
    """The engine asks for pre-images, and looks documents up, only where a rule needs them."""
    condition = parse("a.b > 5 and before.c == $.d[*].e and changed(f) and became(g) and event.key._id > 1")
    assert condition.reads == {
        Reading("document", ("a", "b")),
        Reading("before", ("c",)),
        Reading("document", ("d", "e")),
        Reading("changed", ("f",)),
        Reading("document", ("g",)),
        Reading("before", ("g",)),
        Reading("event", ("key", "_id")),
    }
    assert Reading("document", ()) in parse("$..x > 5").reads
