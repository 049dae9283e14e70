"""Sets of random rules on two collections, with much in common or nothing."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from mtrigger.conditions import Condition, parse, parse_mapping
from mtrigger.errors import ConditionError
from mtrigger.rules import Rule
from support.random_conditions import expressions, filters
from support.recording import rule_on

DATABASE = "random_rules"
COLLECTIONS = ("plain", "imaged")
OPERATIONS = ("insert", "update", "replace", "delete")


def _condition(written: Any) -> Condition | None:
    try:
        return parse(written) if isinstance(written, str) else parse_mapping(written)
    except ConditionError:
        return None  # a calculation with literals that means nothing, such as 1 / 0


_thresholds = st.sampled_from(("0", "1", "2", "5", "2.5", "100", "'a'", "'b'", "null", "date('2026-01-31')"))
_simple = st.builds(
    "{} {} {}".format, st.sampled_from("nmsab"), st.sampled_from(("==", ">", ">=", "<", "in")), _thresholds
).map(lambda text: text.replace("in ", "in [") + "]" if " in " in text else text)
_similar = st.one_of(
    st.builds("{} > {}".format, st.sampled_from("nna"), _thresholds),
    st.builds("n {} {}".format, st.sampled_from(("==", "<=", ">=")), _thresholds),
    st.builds("n > {} and s == {}".format, _thresholds, st.sampled_from(("'a'", "'paid'", "null"))),
)
_conditions = st.one_of(
    _simple,
    st.builds("{} and {}".format, _simple, _simple),
    st.builds("{} or {}".format, _simple, _simple),
    st.builds("before.{}".format, _simple),
    st.builds("became({})".format, _simple),
    st.builds("{} changed from {} to {}".format, st.sampled_from("nsab"), _thresholds, _thresholds),
    st.builds(
        "{} changed {} {}".format, st.sampled_from("nsab"), st.sampled_from(("from", "to")), _thresholds
    ),
    expressions,
    filters,
)


def _rule(patterns: list[str], operations: set[str], written: Any, fields: list[str]) -> Rule:
    named = rule_on(*(f"{DATABASE}.{name}" for name in patterns), operations=frozenset(operations))
    return replace(named, condition=_condition(written), fields=tuple(fields))


def _entering(rule: Rule) -> Rule:
    """The same rule with `fire: entering`, if its condition can be so."""
    if rule.condition is None or not rule.condition.is_of_a_state:
        return rule
    return replace(rule, fire="entering", condition=rule.condition.entering())


_patterns = st.lists(st.sampled_from((*COLLECTIONS, "pl*", "im*")), min_size=1, max_size=2)
_operations = st.sets(st.sampled_from(OPERATIONS), min_size=1)
_fields = st.lists(st.sampled_from(("n", "l.p", "a.b", "o")), max_size=2)
_alike = st.tuples(st.sampled_from(COLLECTIONS).map(lambda name: [name]), _operations).flatmap(
    lambda where: st.lists(
        st.builds(_rule, *map(st.just, where), _similar, st.just([])), min_size=1, max_size=6
    )
)
"""Rules on one collection whose conditions have much in common, so that they are asked for together."""
_different = st.lists(st.builds(_rule, _patterns, _operations, _conditions, _fields), min_size=1, max_size=3)
_entered = st.lists(
    st.builds(_rule, _patterns, _operations, _conditions, _fields).map(_entering), min_size=1, max_size=3
)
_many = st.lists(st.builds(_rule, _patterns, _operations, _simple, _fields), min_size=4, max_size=40)
rule_sets: st.SearchStrategy[list[Rule]] = st.one_of(_alike, _different, _entered, _many)
"""Up to forty rules."""
