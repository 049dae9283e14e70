"""Whether a value is as a unified test expects it: the operators `$$exists`, `$$type` and `$$unsetOrMatches`.

Source: the unified test format of the MongoDB drivers, sections "Evaluating Matches" and "Special Operators".
"""

from collections.abc import Mapping
from typing import Any

_MISSING = object()
_TYPES: Mapping[str, type | tuple[type, ...]] = {"object": dict, "array": list, "string": str}


def mismatches(wanted: Any, found: Any, path: str = "", *, at_root: bool = True) -> list[str]:
    """What of `found` is not as `wanted`; documents may have more fields than wanted only at the root."""
    if isinstance(wanted, Mapping) and len(wanted) == 1 and next(iter(wanted)).startswith("$$"):
        return _special(*next(iter(wanted.items())), found, path)
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        wrong = [
            mismatch
            for name, value in wanted.items()
            for mismatch in mismatches(value, found.get(name, _MISSING), f"{path}.{name}", at_root=False)
        ]
        more = [] if at_root else [f"{path}.{name} was not expected" for name in found.keys() - wanted.keys()]
        return wrong + more
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [
            mismatch
            for place, (one, other) in enumerate(zip(wanted, found, strict=True))
            for mismatch in mismatches(one, other, f"{path}[{place}]", at_root=False)
        ]
    shown = "nothing" if found is _MISSING else repr(found)
    return [] if wanted == found else [f"{path or 'it'} is {shown} instead of {wanted!r}"]


def _special(operator: str, operand: Any, found: Any, path: str) -> list[str]:
    there = found is not _MISSING
    match operator:
        case "$$exists":
            return [] if there == operand else [f"{path} {'exists' if there else 'is missing'}"]
        case "$$unsetOrMatches":
            return mismatches(operand, found, path, at_root=False) if there else []
        case "$$type":
            return [] if isinstance(found, _TYPES[operand]) else [f"{path} is no {operand}"]
    raise NotImplementedError(f"the suite uses {operator}: teach it to the adapter")
