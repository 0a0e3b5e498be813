"""A greedy soup: the average of several trained networks' weights (Wortsman et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

StateDict = dict[str, Tensor]


def greedy_soup(
    members: Sequence[Mapping[str, Tensor]], score: Callable[[StateDict], tuple[float, float]]
) -> tuple[StateDict, list[int]]:
    """Add one network after the other to the average, if that does not make it worse.

    Args:
        members: State dicts of networks of one shape, the best first.
        score: What makes a network better than another; on validation images.

    Returns:
        The soup's state dict, and which members are in it.
    """
    soup, ingredients = dict(members[0]), [0]
    best = score(soup)
    for index, member in enumerate(members[1:], 1):
        candidate = _mixed(soup, member, len(ingredients))
        found = score(candidate)
        if found >= best:
            soup, best = candidate, found
            ingredients.append(index)
    return soup, ingredients


def average(members: Sequence[Mapping[str, Tensor]]) -> StateDict:
    """The mean of state dicts of networks of one shape."""
    soup = dict(members[0])
    for count, member in enumerate(members[1:], 1):
        soup = _mixed(soup, member, count)
    return soup


def _mixed(soup: Mapping[str, Tensor], member: Mapping[str, Tensor], count: int) -> StateDict:
    """The average of `count` networks, which is the soup, and one more."""
    return {
        name: value + (member[name] - value) / (count + 1) if value.is_floating_point() else value
        for name, value in soup.items()
    }
