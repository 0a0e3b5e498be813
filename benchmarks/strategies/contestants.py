"""The strategies that are compared: each a sampler, a scheduler and first points.

To add one, add a line to `CONTESTANTS`. What a search's config can say is said by it; samplers that
we do not ship are in `proposers.py`, Ray's way to keep a study and its brackets here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from confirming import Finish
from optuna.samplers import BaseSampler, TPESampler
from portfolio import recipe
from proposers import Drawn, InTurn, Perturbed, Prior, PriorBand, ShortFirst, once_drawn
from tasks import BUNDLED, LENGTHS, SPACE, TASKS

from trainable.seeding import seed_of
from tune.config.points import Point
from tune.config.schema import SearchConfig
from tune.config.sections import SamplerConfig, SchedulerConfig
from tune.strategy.portfolio import choose
from tune.strategy.schedulers import Scheduler, rungs, scores_at
from tune.strategy.scheduling import build_scheduler, longest_trial
from tune.study.ledger import Ledger
from tune.study.plan import Plan
from tune.study.trial import Decision, Epoch, TrialLog, TrialState

FULL: Final = max(LENGTHS)
SHORT: Final = min(LENGTHS)
ENDLESS: Final = 400
"""More trials than any search has time for."""
PRESETS: Final = 20
"""The trials of the presets for images."""

STOCK: Final = "stock OptunaSearch + ASHA"

Sampler = Callable[[str, int], BaseSampler]
"""Makes the sampler of a task and a seed."""
Make = Callable[[SchedulerConfig, int], Scheduler]


class StockLedger(Ledger):
    """A study as Ray's OptunaSearch keeps it: what was stopped is complete, with its last value."""

    def end(
        self,
        number: int,
        state: TrialState,
        error: str | None = None,
        *,
        cut_short: bool = False,
    ) -> None:
        """Note what became of a trial."""
        stopped = state is TrialState.PRUNED and self.trials[number].epochs
        super().end(number, TrialState.COMPLETE if stopped else state, error, cut_short=cut_short)

    def _write_end(
        self, number: int, state: TrialState, value: float | None, attrs: Mapping[str, Any]
    ) -> int:
        if state is TrialState.COMPLETE:
            value = self.objective.score(self.trials[number].epochs[-1].metrics)
        return super()._write_end(number, state, value, attrs)


class Brackets(Scheduler):
    """Asynchronous Hyperband (Li et al. 2020), as Ray's ASHA with all `brackets`.

    Of each bracket the first rung is later by the factor, and trials are compared with those of
    their own bracket. A trial's bracket is drawn, one with more rungs the more often, by Ray's
    softmax of their numbers.
    """

    def __init__(self, config: SchedulerConfig, longest: int) -> None:
        super().__init__(config, longest)
        grace, factor = config.grace_epochs, config.reduction_factor
        graces = []
        while grace < longest:
            graces.append(grace)
            grace = round(grace * factor)
        self._brackets = [
            rungs(config.model_copy(update={"grace_epochs": grace}), longest) for grace in graces
        ]
        self._brackets.append([])  # of which none is stopped
        weights = np.exp([len(each) for each in self._brackets])
        self._shares = weights / weights.sum()

    def decide(self, study: Ledger, trial: TrialLog, epoch: Epoch) -> Decision:
        """Stop a trial that is among the weaker ones of its bracket at a rung."""
        seed, rung = study.config.sampler.seed, len(trial.epochs) + 1
        own = self._bracket(seed, trial.number)
        if rung not in self._brackets[own]:
            return Decision.GO_ON
        scores = scores_at(study, rung)
        before = [score for number, score in scores if self._bracket(seed, number) == own]
        share = 100 * (1 - 1 / self.config.reduction_factor)
        value = study.objective.signed(study.objective.score(epoch.metrics))
        stops = bool(before) and value < np.nanpercentile(before, share)
        return Decision.STOP if stops else Decision.GO_ON

    def _bracket(self, seed: int, number: int) -> int:
        drawn = np.random.default_rng(seed_of("bracket", seed, number))
        return int(drawn.choice(len(self._brackets), p=self._shares))


@dataclass(frozen=True)
class Contestant:
    """A strategy.

    Attributes:
        name: What it is called in the table.
        sampler: The name of one that we ship, or what makes another.
        scheduler: The config's section.
        learned: How many points come first: the recipe, and the portfolio learned on other tasks.
        recipe: Whether the recipe comes first.
        samples: The number of trials; by default as many as there is time for.
        fitted: Whether the number is, of such trials, what fits into the time on average: where all
            begin before the best of them go on.
        own: Makes the scheduler, where none of ours is meant.
        finish: What follows the trials, within the time.
        space: What is searched besides what the task has; or a function of the task that says it.
        ledger: The study's class.
        oracle: Whether its winner is chosen by the test images, which no search sees: what is left
            then is what the search has not found, and the rest is chosen wrongly.
        ours: Whether no other tool has it: it has a portfolio, proposes by our own sampler, or ends
            as our searches do.
        default: Whether it is what we do ship, or propose to.
        slow: Whether it is left out unless it is asked for: it is slow, or no contestant at all.
    """

    name: str
    sampler: str | Sampler
    scheduler: Mapping[str, Any] = field(default_factory=lambda: {"name": "fifo"})
    learned: int = 0
    recipe: bool = False
    samples: int = ENDLESS
    fitted: bool = False
    own: Make | None = None
    finish: Finish = field(default_factory=Finish)
    oracle: bool = False
    space: Mapping[str, Any] | Callable[[str], Mapping[str, Any]] = field(default_factory=dict)
    ledger: type[Ledger] = Ledger
    ours: bool = False
    default: bool = False
    slow: bool = False

    def open(
        self, task: str, seed: int, learned: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[Ledger, Scheduler]:
        """A study of its own, in memory, for one search.

        Args:
            task: What is searched.
            seed: Of the proposals.
            learned: The portfolio that was learned on the other tasks.
        """
        # Hashed, so that none is the seed by which configs were recorded.
        seed = seed_of("search", seed, num_bytes=3)
        config = _config(task, self, seed)
        points = [recipe(task)] if self.recipe or self.learned else []
        if self.learned:
            points = chosen(config, points[0], learned[: self.learned - 1])
        sampler = self._sampler(config, task, seed)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for point in points:
            study.enqueue_trial(point)
        plan = Plan("trial", "one", config.space, points, sampler, self.samples)
        make = self.own or (lambda *_: build_scheduler(config))
        return self.ledger(study, config, plan), make(config.scheduler, longest_trial(config))

    def _sampler(self, config: SearchConfig, task: str, seed: int) -> BaseSampler:
        return once_drawn(config) if isinstance(self.sampler, str) else self.sampler(task, seed)


def chosen(
    config: SearchConfig, first: Mapping[str, Any], learned: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What a search tries first of a portfolio, after its recipe: some of it may not suit it."""
    sampler = config.sampler.model_copy(update={"points": (dict(first),)})
    points = [
        Point(name=f"learned_{place}", values=dict(each), lr_at_batch=each["train.batch_size"])
        for place, each in enumerate(learned, 1)
    ]
    found = choose(config.model_copy(update={"sampler": sampler}), points, {})
    return [each.values for each in found.points]


_BASES: Final[dict[tuple[str, str], SearchConfig]] = {}
"""Of each task and contestant: what all its searches have."""


def _base(task: str, given: Contestant) -> SearchConfig:
    base = TASKS[task].config(Path("replayed"), Path("replayed"))
    tree = base.model_dump(mode="json")
    name = given.sampler if isinstance(given.sampler, str) else "random"
    # The first points are most of the sampler's start: it draws at random until they have ended.
    startup = max(given.learned, 4) if given.learned else 6
    tree |= {
        "sampler": {"name": name, "startup_trials": startup},
        "scheduler": dict(given.scheduler),
        "space": {**tree["space"], **(given.space(task) if callable(given.space) else given.space)},
    }
    return SearchConfig.model_validate(tree)


def _config(task: str, contestant: Contestant, seed: int) -> SearchConfig:
    key = task, contestant.name
    base = _BASES[key] = _BASES.get(key) or _base(task, contestant)
    return base.model_copy(update={"sampler": base.sampler.model_copy(update={"seed": seed})})


def asha(factor: float = 3, grace: int = 1) -> dict[str, Any]:
    """Asynchronous successive halving."""
    return {"name": "asha", "grace_epochs": grace, "reduction_factor": factor}


def halving(factor: float, grace: int = 1) -> dict[str, Any]:
    """Successive halving, which pauses and goes on."""
    return {"name": "halving", "grace_epochs": grace, "reduction_factor": factor}


SEARCHED: Final = {
    "optim.lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "optim.weight_decay": {"low": 1e-5, "high": 1e-1, "log": True},
    "optim.label_smoothing": [0.0, 0.1],
}
"""What the preset for one's own images searched before curves were recorded, besides the depth and
the policy."""


def before(task: str) -> dict[str, Any]:
    """The space of a task's preset before curves were recorded; the digits' is what it was."""
    keys = ["optim.lr"] if TASKS[task].weights == BUNDLED else list(SEARCHED)
    own = recipe(task)
    fixed = {
        key: [own[key]] for key in SPACE if key not in ("augment.policy", "model.unfreeze_depth")
    }
    return {**fixed, **{key: SEARCHED[key] for key in keys}}


def _stock(_: str, seed: int) -> BaseSampler:
    return TPESampler(seed=seed)  # of all keys together, and away from what runs, by default


def _prior(task: str, seed: int) -> BaseSampler:
    return Prior(seed, recipe(task))


def _near_the_best(_: str, seed: int) -> BaseSampler:
    return Perturbed(seed)


def _in_turn(_: str, seed: int) -> BaseSampler:
    return InTurn(SamplerConfig(name="joint_tpe", seed=seed), Perturbed(seed))


SHIPPED: Final = Finish(2, soup=True, refit="auto")
"""How the preset for one's own images ends a search."""
FINISHES: Final = {
    "single": Finish(2),
    "confirmed": Finish(2, soup=True),
    "refit": Finish(refit=True),
    "confirmed, refit": Finish(2, refit=True),
    "on folds": Finish(2, folds=5),
    "on folds, refit": Finish(2, folds=5, refit=True),
}
"""Other ends of a search."""

CONTESTANTS: Final = (
    Contestant("random", "random"),
    Contestant("random + ASHA", "random", asha()),
    Contestant(STOCK, _stock, asha(4), ledger=StockLedger),
    Contestant(f"{STOCK}, {PRESETS}", _stock, asha(4), samples=PRESETS, ledger=StockLedger),
    Contestant("stock, by a factor of 3", _stock, asha(), ledger=StockLedger),
    Contestant("stock, stopped ones as pruned", _stock, asha(4)),
    Contestant("stock, the recipe first", _stock, asha(4), recipe=True, ledger=StockLedger),
    Contestant("TPE, each key + ASHA", "tpe", asha(), recipe=True),
    Contestant("space before, TPE each + ASHA", "tpe", asha(), recipe=True, space=before),
    Contestant("space before, TPE joint + ASHA", "joint_tpe", asha(), recipe=True, space=before),
    Contestant("TPE, joint + ASHA", "joint_tpe", asha(), recipe=True),
    Contestant("TPE, joint + ASHA from epoch 2", "joint_tpe", asha(2, 2), recipe=True),
    Contestant("TPE, joint", "joint_tpe", recipe=True),
    Contestant("GP", "gp", recipe=True, slow=True),
    Contestant(
        "the recipe, over seeds",
        lambda task, seed: Drawn(seed, recipe(task)),
        space={"train.seed": {"low": 0, "high": 100_000}},
    ),
    Contestant("one epoch, then 1 of 15", "random", halving(15), fitted=True),
    Contestant("one epoch, then 1 of 6", "random", halving(FULL), fitted=True),
    Contestant("two epochs, then 1 of 3", "random", halving(3, 2), fitted=True),
    Contestant(
        "schedules of 2 epochs, then 6",
        lambda _, seed: ShortFirst(seed, 30, SHORT, FULL),
        space={"train.epochs": list(LENGTHS)},
    ),
    Contestant("random + ASHA from epoch 2", "random", asha(2, 2)),
    Contestant("Hyperband", "random", asha(), own=Brackets),
    Contestant("PriorBand-like", _prior, asha(), recipe=True),
    Contestant("portfolio, then random", "random", learned=6, ours=True),
    Contestant("portfolio, then TPE", "joint_tpe", learned=6, ours=True),
    Contestant("portfolio, then TPE + ASHA", "joint_tpe", asha(), learned=6, ours=True),
    Contestant(
        "portfolio, TPE + ASHA, as shipped",
        "joint_tpe",
        asha(),
        learned=6,
        finish=SHIPPED,
        ours=True,
        default=True,
    ),
    Contestant(
        f"portfolio, TPE + ASHA, as shipped, {PRESETS}",
        "joint_tpe",
        asha(),
        learned=6,
        samples=PRESETS,
        finish=SHIPPED,
        ours=True,
    ),
    *(
        Contestant(
            f"portfolio, TPE + ASHA, {name}",
            "joint_tpe",
            asha(),
            6,
            finish=how,
            ours=True,
            slow=True,
        )
        for name, how in FINISHES.items()
    ),
    Contestant(
        "PriorBand-like, as shipped", _prior, asha(), recipe=True, finish=SHIPPED, ours=True
    ),
    Contestant("stock, as shipped", _stock, asha(4), ledger=StockLedger, finish=SHIPPED, ours=True),
    Contestant("portfolio, then TPE + ASHA(2)", "joint_tpe", asha(2, 2), learned=6, ours=True),
    Contestant("portfolio of 4, TPE + ASHA", "joint_tpe", asha(), learned=4, ours=True),
    Contestant("portfolio of 8, TPE + ASHA", "joint_tpe", asha(), learned=8, ours=True),
    Contestant("portfolio, TPE + ASHA, factor 2", "joint_tpe", asha(2), learned=6, ours=True),
    Contestant("portfolio, TPE + ASHA, factor 4", "joint_tpe", asha(4), learned=6, ours=True),
    Contestant("portfolio, PriorBand-like", _prior, asha(), learned=6, ours=True),
    Contestant("portfolio, halved, 1 of 6", "joint_tpe", halving(FULL), 6, fitted=True, ours=True),
    Contestant("portfolio, then near the best", _near_the_best, learned=6, ours=True),
    Contestant("portfolio, near the best, ASHA", _near_the_best, asha(), learned=6, ours=True),
    Contestant(
        "portfolio, near the best, ASHA(2)", _near_the_best, asha(2, 2), learned=6, ours=True
    ),
    Contestant("portfolio of 8, near the best", _near_the_best, asha(), 8, ours=True),
    Contestant("portfolio, in turn, ASHA", _in_turn, asha(), learned=6, ours=True),
    Contestant(
        "portfolio, near, ASHA, confirmed",
        _near_the_best,
        asha(),
        learned=6,
        finish=Finish(2, soup=True),
        ours=True,
    ),
    Contestant(
        "portfolio, near, ASHA, confirmed 3",
        _near_the_best,
        asha(),
        6,
        finish=Finish(3, soup=True),
        ours=True,
    ),
    Contestant(
        "PriorBand, ASHA",
        lambda task, seed: PriorBand(seed, recipe(task)),
        asha(),
        recipe=True,
    ),
    Contestant(
        "portfolio, TPE + ASHA, oracle", "joint_tpe", asha(), 6, oracle=True, ours=True, slow=True
    ),
    Contestant(
        "stock, oracle", _stock, asha(4), ledger=StockLedger, oracle=True, ours=True, slow=True
    ),
    Contestant(
        "PriorBand-like, confirmed", _prior, asha(), recipe=True, finish=Finish(2, soup=True)
    ),
    Contestant(
        "stock, confirmed", _stock, asha(4), ledger=StockLedger, finish=Finish(2, soup=True)
    ),
    Contestant("portfolio, halved by 3", "joint_tpe", halving(3), 6, fitted=True, ours=True),
    Contestant("portfolio, halved by 2", "joint_tpe", halving(2, 2), 6, fitted=True, ours=True),
)
"""All of them."""
