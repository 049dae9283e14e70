"""Which box stands in which rank, and in which order: a layered drawing of a directed graph, up to the
coordinates (after Sugiyama, Tagawa and Toda 1981).

Promises: an edge leads from a rank to a later one, but for those that are said to lead back; every edge
passes through a *place* in each rank between its ends, so that it has a way of its own; the same graph gives
the same drawing.
"""

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_ROUNDS = 16
_LARGE = 400
"""Ranks with more places than this are not improved by exchanging neighbours: it would take too long."""

Way = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """An edge between two nodes, given as numbers. `labelled`: it needs a place for its label."""

    start: int
    end: int
    labelled: bool = False


@dataclass(frozen=True, slots=True)
class Layers:
    """`ranks` hold nodes and further places in their order. `ways` are, for every link, the places it passes,
    its ends included, always from earlier to later ranks; those in `backward` lead the other way. `labels`
    are the places of labels: link -> place."""

    ranks: tuple[Way, ...]
    ways: tuple[Way, ...]
    backward: frozenset[int]
    labels: Mapping[int, int]


def layered(count: int, links: Sequence[Link]) -> Layers:
    """Put `count` nodes and `links` into ranks. Links from a node to itself get a way without any place
    between its ends."""
    backward = _backward(count, links)
    forward = [
        (link.end, link.start) if number in backward else (link.start, link.end)
        for number, link in enumerate(links)
    ]
    rank = _ranks(count, [ends for ends in forward if ends[0] != ends[1]])
    places, ways, labels = _ways(rank, links, forward)
    order = _components(len(places), ways)
    ranks: dict[int, list[int]] = {}
    for place in order:
        ranks.setdefault(places[place], []).append(place)
    rows = [ranks[number] for number in sorted(ranks)]
    return Layers(tuple(map(tuple, _untangled(rows, ways))), ways, backward, labels)


def _neighbours(count: int, ends: Iterable[tuple[int, int]]) -> tuple[list[list[int]], list[list[int]]]:
    """What leads to each of `count`, and where each leads."""
    before: list[list[int]] = [[] for _ in range(count)]
    behind: list[list[int]] = [[] for _ in range(count)]
    for start, end in ends:
        before[end].append(start)
        behind[start].append(end)
    return before, behind


def _backward(count: int, links: Sequence[Link]) -> frozenset[int]:
    """Links that close a circle, found by going through the graph in depth."""
    leaving: list[list[int]] = [[] for _ in range(count)]
    entered = [False] * count
    for number, link in enumerate(links):
        leaving[link.start].append(number)
        entered[link.end] = entered[link.end] or link.start != link.end
    state = [0] * count  # 0 not seen, 1 on the way here, 2 done
    found = set()
    for root in sorted(range(count), key=lambda node: entered[node]):
        if state[root]:
            continue
        state[root] = 1
        stack = [(root, iter(leaving[root]))]
        while stack:
            node, waiting = stack[-1]
            number = next(waiting, -1)
            if number < 0:
                state[node] = 2
                stack.pop()
            elif state[end := links[number].end] == 1 and end != node:
                found.add(number)
            elif state[end] == 0:
                state[end] = 1
                stack.append((end, iter(leaving[end])))
    return frozenset(found)


def _ranks(count: int, ends: Sequence[tuple[int, int]]) -> list[int]:
    """Each node behind the last of those that lead to it; what nothing leads to just before its first."""
    before, behind = _neighbours(count, ends)
    waiting = [len(starts) for starts in before]
    ready = [node for node in range(count) if not waiting[node]]
    rank = [0] * count
    for node in ready:
        for end in behind[node]:
            rank[end] = max(rank[end], rank[node] + 1)
            waiting[end] -= 1
            if not waiting[end]:
                ready.append(end)
    for node in range(count):
        if not before[node] and behind[node]:
            rank[node] = min(rank[end] for end in behind[node]) - 1
    return rank


def _ways(
    rank: Sequence[int], links: Sequence[Link], forward: Sequence[tuple[int, int]]
) -> tuple[list[int], tuple[Way, ...], dict[int, int]]:
    """The rank of every place, each link's way, the places of labels. Nodes stand in even ranks; odd ones
    hold labels, which stand where their link is alone: beside the end with fewer links."""
    degree = [0] * len(rank)
    for start, end in forward:
        degree[start] += 1
        degree[end] += 1
    label_rank = {
        number: 2 * rank[start] + 1 if degree[start] < degree[end] else 2 * rank[end] - 1
        for number, (start, end) in enumerate(forward)
        if links[number].labelled and start != end
    }
    used = {2 * number for number in rank} | set(label_rank.values())
    places = [2 * number for number in rank]
    ways, labels = [], {}
    for number, (start, end) in enumerate(forward):
        way = [start]
        for between in range(places[start] + 1, places[end]):
            if between in used:
                if label_rank.get(number) == between:
                    labels[number] = len(places)
                way.append(len(places))
                places.append(between)
        ways.append((*way, end))
    return places, tuple(ways), labels


def _components(count: int, ways: Sequence[Way]) -> list[int]:
    """All places, what hangs together behind each other, each in the order of a walk through it."""
    beside: list[list[int]] = [[] for _ in range(count)]
    for way in ways:
        for one, other in pairwise(way):
            beside[one].append(other)
            beside[other].append(one)
    seen = [False] * count
    order = []
    for root in range(count):
        stack = [root]
        while stack:
            place = stack.pop()
            if not seen[place]:
                seen[place] = True
                order.append(place)
                stack.extend(reversed(beside[place]))
    return order


def _untangled(rows: list[list[int]], ways: Sequence[Way]) -> list[list[int]]:
    """The rows with fewer crossings: each sorted by the middle of its neighbours, forwards and backwards, and
    by exchanging neighbours; the best that was found. What does not hang together stays apart."""
    steps = [step for way in ways if way[0] != way[-1] for step in pairwise(way)]
    before, behind = _neighbours(1 + max((place for row in rows for place in row), default=0), steps)
    group = _groups(rows, steps)
    best, fewest = rows, _crossings(rows, behind)
    for turn in range(_ROUNDS):
        if not fewest:
            break
        rows = [list(row) for row in rows]
        beside = behind if turn % 2 else before
        for number in reversed(range(len(rows) - 1)) if turn % 2 else range(1, len(rows)):
            fixed = rows[number + (1 if turn % 2 else -1)]
            at = {place: index for index, place in enumerate(fixed)}
            _sort(rows[number], at, beside, group, -1 if turn % 4 > 1 else 1)
        _exchange(rows, before, behind, group)
        if (crossings := _crossings(rows, behind)) < fewest:
            best, fewest = rows, crossings
    return best


def _groups(rows: Sequence[Sequence[int]], steps: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Which places hang together: place -> the number of its group, in the order of the rows."""
    root = {place: place for row in rows for place in row}

    def top(place: int) -> int:
        while root[place] != place:
            root[place] = root[root[place]]
            place = root[place]
        return place

    for one, other in steps:
        root[top(one)] = top(other)
    numbers: dict[int, int] = {}
    return {place: numbers.setdefault(top(place), len(numbers)) for row in rows for place in row}


def _sort(
    row: list[int],
    at: Mapping[int, int],
    beside: Sequence[Sequence[int]],
    group: Mapping[int, int],
    ties: int,
) -> None:
    """Sort a rank by the neighbours in the one beside it; equals keep their order (`ties` 1) or get the
    opposite one (-1): what is as good may be the way to what is better."""

    def middle(index: int, place: int) -> float:
        found = [at[other] for other in beside[place] if other in at]
        return sum(found) / len(found) if found else index

    wanted = {place: (group[place], middle(index, place), ties * index) for index, place in enumerate(row)}
    row.sort(key=lambda place: wanted[place])


def _exchange(
    rows: Sequence[list[int]],
    before: Sequence[Sequence[int]],
    behind: Sequence[Sequence[int]],
    group: Mapping[int, int],
) -> None:
    """Exchange two that stand beside each other where that spares crossings."""
    at = {place: index for row in rows for index, place in enumerate(row)}
    for row in rows:
        if len(row) > _LARGE:
            continue
        for index in range(len(row) - 1):
            one, other = row[index], row[index + 1]
            if group[one] != group[other]:
                continue
            gain = sum(
                _between(at, beside[one], beside[other]) - _between(at, beside[other], beside[one])
                for beside in (before, behind)
            )
            if gain > 0:
                row[index], row[index + 1] = other, one
                at[one], at[other] = index + 1, index


def _between(at: Mapping[int, int], left: Sequence[int], right: Sequence[int]) -> int:
    """How often the edges of what stands on the left cross those of what stands on the right."""
    return sum(1 for one in left for other in right if at[one] > at[other])


def _crossings(rows: Sequence[Sequence[int]], behind: Sequence[Sequence[int]]) -> int:
    crossings = 0
    for row, following in pairwise(rows):
        at = {place: index for index, place in enumerate(following)}
        ends: list[int] = []
        for place in row:
            here = sorted(at[end] for end in behind[place])
            crossings += sum(len(ends) - bisect_right(ends, end) for end in here)
            for end in here:
                insort(ends, end)
    return crossings
