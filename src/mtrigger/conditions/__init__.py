"""The `when:` language, whole.

An expression (`amount > 10000 and status == "paid"`) or a MongoDB filter becomes a `Condition`, which can be
evaluated for an event, translated to a filter, pushed down into a change stream, traced and described. The
promise: it holds in Python exactly when MongoDB would say so, and what is pushed down is never narrower.
docs/conditions.md describes the language.
"""

from mtrigger.conditions.about import About
from mtrigger.conditions.condition import Condition, Reading, parse, parse_mapping
from mtrigger.conditions.filters import Pushed
from mtrigger.conditions.generation import Holds
from mtrigger.conditions.server_values import NotTranslatable
from mtrigger.conditions.syntax import Node
from mtrigger.conditions.tracing import Trace

__all__ = [
    "About",
    "Condition",
    "Holds",
    "Node",
    "NotTranslatable",
    "Pushed",
    "Reading",
    "Trace",
    "parse",
    "parse_mapping",
]
