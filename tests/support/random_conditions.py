"""Hypothesis strategies for conditions, as expressions and as MongoDB filters, about `random_documents`."""

import json
from typing import Any

from bson.regex import Regex
from hypothesis import strategies as st

from support.random_documents import DATES, DECIMALS, DOUBLES, IDS, OTHERS, STRINGS, WHOLE_NUMBERS

_NUMBER_PATHS = ("n", "m", "n", "m", "o.p", "l.p", "l.r", "$.l[*].p", "$.l[*].r", "$.l[*].r[*]", "a", "b")
_STRING_PATHS = ("s", "t", "s", "o.q", "l.q", "$.l[*].q", "a", "b")
_DATE_PATHS = ("d", "e", "d", "a")
_PATHS = (
    *(
        "a",
        "b",
        "a.b",
        "a.a",
        "a.0",
        "a.1",
        "a.0.a",
        "a.0.0",
        "a.a.0",
        "a.b.c",
        "b.0.b",
        "a.0.b.0",
        "b.b",
        "nope",
    ),
    *(
        "$.a[*]",
        "$.a[*].b",
        "$.a[*][*]",
        "$.a[0]",
        "$.a[0][1]",
        "$['odd name']",
        "$.a[*][0]",
        "$.b['odd name'].a",
    ),
    *("$.a.b[*]", "$.a[*].a[*].b", "$.a[*][*].a", "a.c.1", "l.0", "l.1.p", "l.0.r.0", "o", "l", "$.l[*]"),
    *("n", "m", "s", "d", "o.p", "l.p", "l.q"),
)
_PATTERNS = (
    *("a", "^a", "a$", "^ab?", "A", r"\d+", r"^\w+$", r"\s", "[a-c]{2}", "(a|b)c?", "^$", r"\bab\b", "b\\Z"),
    *(
        r"[^\w]",
        r"[\w.]+",
        "(?i)K",
        "한",
        ".",
        "^.$",
        "a.b",
        r"\.",
        "x\\x00y",
        "(?:ab)+",
        r"\Aa\z",
        "[[:alpha:]]",
    ),
)


def _short(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The same strategy with a short repr; hypothesis prints strategies while it checks them."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Any:
        return draw(strategy)

    return drawn()


path = st.sampled_from(_PATHS + _NUMBER_PATHS + _STRING_PATHS)
number_path, string_path, date_path = map(st.sampled_from, (_NUMBER_PATHS, _STRING_PATHS, _DATE_PATHS))
number = st.sampled_from(
    ("0", "1", "2", "5", "7", "-7", "0.1", "0.5", "2.5", "-2.5", "1e3", "10000", "10000.01", "100", "1e300",
     "9007199254740993", "9007199254740992.0", "9223372036854775807")
)  # fmt: skip
string = st.sampled_from(STRINGS).map(json.dumps)
date = st.sampled_from(
    ('date("2026-01-31")', 'date("2026-01-31T10:00:00+09:00")', 'date("1970-01-01")', "now()")
)
other = st.sampled_from(
    ("true", "false", "null", 'oid("65a1b2c3d4e5f60718293a4b")', "[]", '[1, "a"]', "[1, [2]]")
)
literal = st.one_of(number, string, date, other)
comparison_sign = st.sampled_from(("==", "!=", "<", "<=", ">", ">="))


def _join(*parts: Any) -> st.SearchStrategy[str]:
    return st.tuples(*(part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts)).map(
        "".join
    )


def _listed(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(items, max_size=4).map(lambda found: "[" + ", ".join(found) + "]")


number_value = st.recursive(
    _short(st.one_of(number_path, number_path, _join("len(", path, ")"), number)),
    lambda inner: st.one_of(
        _join("(", inner, st.sampled_from((" + ", " - ", " * ", " / ", " % ")), inner, ")"), _join("-", inner)
    ),
    max_leaves=3,
)
string_value = st.one_of(
    string_path,
    _join("lower(", string_path, ")"),
    _join("upper(", string_path, ")"),
    _join("lower(", path, ")"),
)
_duration = st.sampled_from(('duration("1h")', 'duration("7d")', 'duration("1ms")', "1.5", "o.p", "n"))
date_value = st.one_of(
    date_path,
    _join(date_path, st.sampled_from((" + ", " - ")), _duration),
    _join(date, st.sampled_from((" + ", " - ")), _duration),
)

comparison = st.one_of(
    _join(number_path, " ", comparison_sign, " ", number),
    _join(number, " ", comparison_sign, " ", number_path),
    _join(number, " < ", number_path, " <= ", number),
    _join(string_path, " ", comparison_sign, " ", string),
    _join(date_path, " ", comparison_sign, " ", date),
    _join(path, " ", comparison_sign, " ", literal),
    _join(path, st.sampled_from((" in ", " not in ")), _listed(literal.filter(lambda text: text != "now()"))),
    _join(number_path, " in ", _listed(number)),
    _join(string_path, " in ", _listed(string)),
    _join("exists(", path, ")"),
    _join("matches(", string_path, ", ", st.sampled_from(_PATTERNS).map(json.dumps), ")"),
    _join(
        "matches(", path, ", ", st.sampled_from(_PATTERNS).map(json.dumps), ', "', st.sampled_from("is"), '")'
    ),
    _join(st.sampled_from(("startswith(", "endswith(", "contains(")), string_path, ", ", string, ")"),
    path,
)
worked_out = st.one_of(
    _join(number_value, " ", comparison_sign, " ", number_value),
    _join(number_value, " ", comparison_sign, " ", number_value, " ", comparison_sign, " ", number_value),
    _join(string_value, " ", comparison_sign, " ", string_value),
    _join(string_value, " in ", _listed(string)),
    _join(date_value, " ", comparison_sign, " ", date_value),
    _join("(", date_path, " - ", date_path, ") ", comparison_sign, " ", _duration),
    _join(path, " ", comparison_sign, " ", path),
    _join("len(", path, ") ", comparison_sign, " ", st.sampled_from("0123")),
)
_expressions = st.recursive(
    _short(st.one_of(comparison, worked_out)),
    lambda inner: st.one_of(
        _join("(", inner, ")", st.sampled_from((" and ", " or ")), "(", inner, ")"),
        _join("(", inner, ")", st.sampled_from((" and ", " or ")), "(", inner, ") and (", inner, ")"),
        _join("not (", inner, ")"),
    ),
    max_leaves=4,
)

# MongoDB filters

_dotted = st.sampled_from(
    tuple(sorted({one for one in _PATHS + _NUMBER_PATHS + _STRING_PATHS if "$" not in one}))
)
_regex = st.sampled_from(_PATTERNS).map(Regex)
_scalar = st.sampled_from([*WHOLE_NUMBERS, *DOUBLES, *DECIMALS, *STRINGS, *DATES, *IDS, *OTHERS]).filter(
    lambda value: not isinstance(value, Regex)
)
_common: st.SearchStrategy[Any] = st.sampled_from([0, 1, 2, 5, 7, "a", "paid", None, True, 2.5, "", []])
_literal = st.recursive(
    _short(st.one_of(_common, _common, _scalar)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(("a", "b", "p")), inner, max_size=2)
    ),
    max_leaves=3,
)
_TYPES = (
    *(
        "number",
        "int",
        "long",
        "double",
        "decimal",
        "string",
        "array",
        "object",
        "null",
        "date",
        "bool",
        "regex",
    ),
    *("objectId", "binData", "timestamp", "minKey", "maxKey", "javascript", "javascriptWithScope"),
)


def _operator(name: str, operand: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return operand.map(lambda value: {name: value})


_simple = st.one_of(
    *(_operator(name, _literal) for name in ("$eq", "$ne", "$lt", "$lte", "$gt", "$gte")),
    *(_operator(name, _common) for name in ("$eq", "$ne", "$lt", "$lte", "$gt", "$gte")),
    *(_operator(name, st.lists(st.one_of(_literal, _regex), max_size=3)) for name in ("$in", "$nin")),
    _operator("$exists", st.booleans()),
    _operator(
        "$type", st.one_of(st.sampled_from(_TYPES), st.lists(st.sampled_from(_TYPES), min_size=1, max_size=3))
    ),
    _operator("$size", st.integers(0, 3)),
    _operator("$mod", st.sampled_from(([2, 1], [5, 0], [-3, 2], [7, -1], [4, 3]))),
    _operator("$regex", st.sampled_from(_PATTERNS)),
    st.tuples(st.sampled_from(_PATTERNS), st.sampled_from(("i", "s", "is"))).map(
        lambda found: {"$regex": found[0], "$options": found[1]}
    ),
)
_several = st.lists(_simple, min_size=1, max_size=2).map(
    lambda parts: {k: v for part in parts for k, v in part.items()}
)
_operators = st.recursive(
    _short(_several),
    lambda inner: st.one_of(
        _operator("$not", inner),
        _operator("$elemMatch", inner),
        _operator("$all", st.lists(st.one_of(_common, _regex), max_size=2)),
        _operator("$all", st.lists(_operator("$elemMatch", inner), min_size=1, max_size=2)),
        _operator(
            "$elemMatch",
            st.dictionaries(st.sampled_from(("a", "b", "p", "q", "0", "p.0")), inner, max_size=2),
        ),
    ),
    max_leaves=2,
)
_fields = st.dictionaries(
    _dotted, st.one_of(_operators, _operators, _literal, _regex), min_size=1, max_size=2
)
_filters = st.recursive(
    _short(_fields),
    lambda inner: st.one_of(
        *(_operator(name, st.lists(inner, min_size=1, max_size=3)) for name in ("$and", "$or", "$nor"))
    ),
    max_leaves=3,
)

expressions = _short(_expressions)
filters = _short(_filters)
