"""Event -> the rules that hold, however many rules there are.

`Matcher` is the door. Behind it: `predicate_index` finds conditions by what they imply, `intervals` ranges by
the values they let in, `touched_fields` rules by the fields a change touched. The promise: the answer is that
of trying every rule, in the order they were given.
"""

from mtrigger.matching.matcher import Matcher, wants_dead_letter
from mtrigger.matching.touched_fields import touches

__all__ = ["Matcher", "touches", "wants_dead_letter"]
