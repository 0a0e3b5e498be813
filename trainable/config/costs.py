"""The costs of mistakes as a config has them: by the names of the classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

Cost = tuple[str, str, float]
"""A true class, an answer, and what it costs to take the one for the other."""


def read_costs(value: Any) -> Any:
    """Rows of a true class, an answer and a cost, from a mapping of mappings.

    Raises:
        ValueError: It is not such a mapping.
    """
    if not isinstance(value, Mapping):
        return value  # rows, as a recorded config has them, or what the type refuses
    rows = []
    for truth, answers in value.items():
        if not isinstance(answers, Mapping):
            raise ValueError(
                f"{truth} must hold answers and their costs, such as {truth}: {{ANSWER: 10}}"
            )
        rows += [(_name(truth), _name(answer), cost) for answer, cost in answers.items()]
    return tuple(rows)


def checked_costs(costs: tuple[Cost, ...] | None) -> tuple[Cost, ...] | None:
    """Costs that a mean can be taken of and that tell one model from another.

    Raises:
        ValueError: One is negative or endless, none is there, or a right answer has one.
    """
    if costs is None:
        return None
    seen = set[tuple[str, str]]()
    for truth, answer, cost in costs:
        if not (math.isfinite(cost) and cost >= 0):
            raise ValueError(f"{truth} taken for {answer} costs {cost}: must be 0 or above")
        if truth == answer and cost:
            raise ValueError(f"{truth} taken for {answer} is right, and costs 0")
        if (truth, answer) in seen:
            raise ValueError(f"{truth} taken for {answer} has two costs: give one")
        seen.add((truth, answer))
    if not costs:
        raise ValueError("must name a mistake, such as {TRUE_CLASS: {ANSWER: 10}}")
    return costs


def cost_rows(costs: Sequence[Cost], classes: Sequence[str]) -> list[list[float]]:
    """The matrix of costs, true class by row and answer by column.

    Args:
        costs: Those that differ from 1, the cost of any mistake that is not named.
        classes: The names of the classes, in order.

    Raises:
        ValueError: A cost names a class that there is not.
    """
    place = {name: number for number, name in enumerate(classes)}
    rows = [[float(row != column) for column in place.values()] for row in place.values()]
    for truth, answer, cost in costs:
        for name in (truth, answer):
            if name not in place:
                near = get_close_matches(name, classes, 1)
                hint = f"; nearest: {near[0]}" if near else f": {', '.join(classes[:8])}"
                raise ValueError(
                    f"objective.costs: there is no class {name} among the {len(classes)}{hint}"
                )
        rows[place[truth]][place[answer]] = float(cost)
    return rows


def _name(name: Any) -> str:
    """A class's name, which YAML takes for a number if it looks like one.

    Raises:
        ValueError: It is neither text nor a whole number.
    """
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise ValueError(f"{name} is no name of a class: write it in quotes")
    return str(name)
