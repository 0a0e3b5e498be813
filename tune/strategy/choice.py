"""Which of several good models is chosen, where one costs less than another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final, TypeVar

import torch

from trainable.inference.answering import Answering
from trainable.inference.latency import seconds_an_image
from trainable.judging.objective import Objective
from trainable.network.cut_network import build
from tune.config.keys import is_whole
from tune.config.schema import SearchConfig
from tune.config.space import enumerated
from tune.config.walk import possible
from tune.strategy.confirmation import Finalist, finalists, ranked
from tune.study.search import Search
from tune.study.trial import TrialLog

UNITS: Final = {"size": "MB of weights", "seconds": "seconds an image"}
"""What a cost is counted in."""
MOST_MEASURED: Final = 40
"""The networks whose time is measured, at most."""

_ARCH, _SIZE, _FLIPS = "model.arch", "data.image_size", "predict.flips"
_One = TypeVar("_One")


@dataclass(frozen=True)
class Choice:
    """The rule by which a search's finalists and its winner are chosen.

    The best by the objective; or, where costs count, the cheapest of those that are within a
    tolerance of the best.

    Attributes:
        config: The search's.
        costs: The cost of each network that a trial may have, by its name; empty where none counts.
    """

    config: SearchConfig
    costs: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, search: Search) -> Choice:
        """The rule of a search."""
        return cls(search.config, search.costs)

    @property
    def unit(self) -> str:
        """What costs are counted in."""
        return UNITS[self.config.strategy.cost]

    def cost(self, params: Mapping[str, Any]) -> float | None:
        """What a trial's model costs; None where no cost counts."""
        if not self.costs:
            return None
        return self.costs[network_of(self.config, params)]

    def finalists(
        self, trials: Iterable[TrialLog], count: int, *, timed: bool = False
    ) -> list[TrialLog]:
        """What :func:`~tune.strategy.confirmation.finalists` gives, by this rule.

        Of several, the best is one: how much worse a cheaper one is, is known once both have run
        again.
        """
        trials = list(trials)
        order = finalists(trials, len(trials), timed=timed)
        chosen = self._cheapest_first(order, lambda log: (log, log.score))[:count]
        if count > 1 and chosen and all(log is not order[0] for log in chosen):
            chosen[-1] = order[0]
        return chosen

    def may_be_chosen(
        self, trials: Iterable[TrialLog], count: int, *, timed: bool = False
    ) -> list[TrialLog]:
        """Those that are finalists, or may be when others have ended, which may be better.

        A trial never will be to which so many are preferred whatever comes: all better ones where
        it is not within the tolerance of the best, else those that cost no more.
        """
        trials = list(trials)
        order = finalists(trials, len(trials), timed=timed)
        costs = [self.cost(log.params) or 0.0 for log in order]
        near = self._near(order, lambda log: log.score)
        return [
            log
            for n, log in enumerate(order)
            if (sum(cost <= costs[n] for cost in costs[:n]) if n < near else n) < count
        ]

    def ranked(self, chosen: Sequence[TrialLog], runs: Iterable[TrialLog]) -> list[Finalist]:
        """What :func:`~tune.strategy.confirmation.ranked` gives, by this rule."""
        order = ranked(chosen, runs)
        kept = [one for one in order if not one.has_lost]
        lost = order[len(kept) :]  # which come last
        return [*self._cheapest_first(kept, lambda one: (one.trial, one.standing)), *lost]

    def as_cheap(self, order: Sequence[Finalist]) -> list[Finalist]:
        """The winner and the finalists that cost no more than it; all, where no cost counts."""
        costs = [self.cost(one.trial.params) or 0.0 for one in order]
        return [one for one, cost in zip(order, costs, strict=True) if cost <= costs[0]]

    def _cheapest_first(
        self, order: list[_One], of: Callable[[_One], tuple[TrialLog, float | None]]
    ) -> list[_One]:
        """What is within the tolerance of the best by its cost, and then the rest.

        Args:
            order: The best first.
            of: Gives the trial and the score of one.
        """
        if not self.costs:
            return order
        near = self._near(order, lambda one: of(one)[1])
        cheapest = sorted(order[:near], key=lambda one: self.cost(of(one)[0].params) or 0.0)
        return [*cheapest, *order[near:]]

    def _near(self, order: Sequence[_One], score_of: Callable[[_One], float | None]) -> int:
        """How many are within the tolerance of the best, which comes first."""
        signed = Objective.named(self.config.objective.metric).signed
        scores = [signed(score) for score in map(score_of, order) if score is not None]
        return sum(score >= scores[0] - self.config.strategy.tolerance for score in scores)


def network_of(config: SearchConfig, params: Mapping[str, Any]) -> str:
    """The name of the network that answers for a trial, with all that its cost depends on."""
    values = {**config.own, **params}
    if config.strategy.cost == "size":
        return str(values[_ARCH])
    mirrored = ", mirrored too" if values[_FLIPS] else ""
    return f"{values[_ARCH]} at {values[_SIZE]} px{mirrored}"


def measure_costs(config: SearchConfig, num_classes: int) -> dict[str, float]:
    """The cost of each network that a trial of a search may have; none where no cost counts.

    Args:
        config: The search's.
        num_classes: The outputs of its networks.

    Raises:
        ValueError: There are too many networks to measure.
    """
    if config.strategy.cost == "none":
        return {}
    keys = (_ARCH,) if config.strategy.cost == "size" else (_ARCH, _SIZE, _FLIPS)
    values = (_values(config, key) for key in keys)
    trials = [dict(zip(keys, each, strict=True)) for each in product(*values)]
    if len(trials) > MOST_MEASURED:
        raise ValueError(
            f"strategy.cost=seconds: the space has {len(trials)} networks, of which each is "
            f"measured, and {MOST_MEASURED} are the most: give {_SIZE} as a short list"
        )
    return {network_of(config, trial): _cost(config, trial, num_classes) for trial in trials}


def _values(config: SearchConfig, key: str) -> list[Any]:
    """The values that trials may have of a key."""
    if key in config.space and enumerated(config.space[key], whole=is_whole(key)) is None:
        raise ValueError(f"strategy.cost=seconds: {key} has too many values; give a short list")
    return possible(config.space, config.own, key)


def _cost(config: SearchConfig, trial: Mapping[str, Any], num_classes: int) -> float:
    network = build(trial[_ARCH], num_classes, depth=0)
    if config.strategy.cost == "size":
        tensors = network.net.state_dict().values()
        return round(sum(each.nbytes for each in tensors) / 10**6, 3)
    whole = network.whole.eval().to(memory_format=torch.channels_last)
    return seconds_an_image(Answering(whole, flips=trial[_FLIPS]).eval(), trial[_SIZE])
