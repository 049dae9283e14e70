"""What a path leads to: the traversal of MongoDB's match language.

The rules are those of the server's `ElementPath` and `BSONElementIterator` (src/mongo/db/matcher/path.cpp):

* an array on the way is looked into, element by element; only embedded documents are entered, unless the next
  step is an index, which picks one element;
* an array at the end stands for its elements and for itself, but not after an index that picked it;
* a path that ends early gives "missing", but elements that are no documents are passed over in silence.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bson.dbref import DBRef

from mtrigger.conditions.syntax import Each, Step
from mtrigger.conditions.values import MISSING, as_document


def values_at(root: Any, steps: tuple[Step, ...]) -> Iterator[Any]:
    """Every value that `steps` lead to from `root` (a document), MISSING among them; an array at the end
    stands for its elements too. Without steps it is the root itself."""
    return _values(root, steps, spread=True)


def whole_values_at(root: Any, steps: tuple[Step, ...]) -> Iterator[Any]:
    """Like `values_at`, but an array at the end stands for itself alone."""
    return _values(root, steps, spread=False)


def _values(root: Any, steps: tuple[Step, ...], *, spread: bool) -> Iterator[Any]:
    cut = next((place for place, step in enumerate(steps) if isinstance(step, Each)), None)
    if cut is None:
        names = tuple(step for step in steps if isinstance(step, str))
        yield from _from_document(root, names, spread=spread) if names else iter((root,))
        return
    rest = steps[cut + 1 :]
    for found in _values(root, steps[:cut], spread=False):
        if isinstance(found, list | tuple):
            for element in found:
                yield from _from_element(element, rest, spread=spread)


def _from_element(element: Any, rest: tuple[Step, ...], *, spread: bool) -> Iterator[Any]:
    if not rest:
        yield element
    elif is_document(element) or isinstance(element, list | tuple):
        yield from _values(element, rest, spread=spread)


def is_document(value: Any) -> bool:
    """Whether the value is an embedded document."""
    return isinstance(value, Mapping | DBRef)


def _look_up(container: Any, name: str) -> Any:
    """A field of a document; an array is a document whose names are its indexes."""
    if isinstance(container, list | tuple):
        index = index_of(name)
        return container[index] if index is not None and index < len(container) else MISSING
    return as_document(container).get(name, MISSING)


def index_of(name: str) -> int | None:
    """The array index a step may mean: plain digits without a leading zero."""
    if name.isascii() and name.isdigit() and (name == "0" or name[0] != "0"):
        return int(name[:10])  # longer than any array; keeps the number small
    return None


def _from_document(document: Any, names: Sequence[str], *, spread: bool) -> Iterator[Any]:
    value = _look_up(document, names[0])
    if len(names) == 1:
        if spread and isinstance(value, list | tuple):
            yield from value
        yield value
    elif is_document(value):
        yield from _from_document(value, names[1:], spread=spread)
    elif isinstance(value, list | tuple):
        yield from _from_array(value, names[1:], spread=spread)
    else:
        yield MISSING


def _from_array(array: Sequence[Any], names: Sequence[str], *, spread: bool) -> Iterator[Any]:
    for element in array:
        if is_document(element):
            yield from _from_document(element, names, spread=spread)
    index = index_of(names[0])
    if index is None or index >= len(array):
        return
    picked = array[index]
    if len(names) == 1:
        yield picked
    elif is_document(picked):
        yield from _from_document(picked, names[1:], spread=spread)
    elif isinstance(picked, list | tuple):
        yield from _from_array(picked, names[1:], spread=spread)
