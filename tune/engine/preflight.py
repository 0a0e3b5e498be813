"""What is decided before the first trial: the data and the weights, the same for all trials."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final

from rich.console import Console

from trainable.base.folds import Fold
from trainable.config import ModelConfig
from trainable.data.balance import Balance
from trainable.data.copies import copy_groups, describe_copies
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.parts import SPLITS
from trainable.device import cpu_precision
from trainable.features.probe import check_features
from trainable.judging.objective import Objective
from trainable.network.cut_network import build
from trainable.network.weights import resolve_weights
from tune.base.errors import ConfigError, squeeze
from tune.config.portfolios import read_portfolio
from tune.config.schema import SearchConfig
from tune.config.sections import ResourcesConfig
from tune.config.space import Choices
from tune.config.walk import possible
from tune.engine.estimates import estimates
from tune.engine.nodes import where_trials_run
from tune.strategy.choice import UNITS, measure_costs
from tune.strategy.facts import facts_of
from tune.strategy.folds import fold_names, folds_of
from tune.strategy.memory import remembered
from tune.strategy.portfolio import choose
from tune.strategy.refit import decided
from tune.study.fingerprints import hash_classes, hash_searched, hash_weights
from tune.study.search import Search

_WEIGHTS: Final = "model.weights"
_NOTE: Final = 400
"""Characters of a line about the data: it may name classes."""


def resolve(config: SearchConfig, name: str, console: Console) -> Search:
    """Check the data and choose the weights, once for all trials.

    Raises:
        ConfigError: Either is not available, or they do not fit.
    """
    try:
        choices = _weights(config)
        dataset = load_dataset(config.data, config.cache.of_images)
        Objective.of(config.objective, dataset.classes, several=dataset.has_several)
        console.print(f"weights  {', '.join(choices)}")
        for arch, weights in product(config.archs, choices):
            _check_weights(config, arch, len(dataset.classes), weights)
        weights_hash = hash_first_weights(config, choices)
        folds = _folds(config, dataset, console)
        costs = measure_costs(config, len(dataset.classes))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    sizes = {part: len(dataset.split(part)) for part in SPLITS}
    shown = " + ".join(f"{count} {part}" for part, count in sizes.items())
    console.print(f"data     {config.data.source}: {shown} images, {len(dataset.classes)} classes")
    copies = describe_copies(copy_groups(dataset))
    balance = Balance.of(dataset)
    warnings = balance.warnings(config.keys_in_use)
    described = f"classes  {squeeze(balance.described, _NOTE)}"
    console.print(described, soft_wrap=True, markup=False)
    room = estimates(config, dataset)
    for note in (*warnings, *dataset.notes, *([copies] if copies else []), *room):
        console.print(f"         {squeeze(note, _NOTE)}", soft_wrap=True, markup=False)
    if costs:
        shown = ", ".join(f"{name}: {cost:g}" for name, cost in costs.items())
        console.print(f"cost     {UNITS[config.strategy.cost]}, {shown}", soft_wrap=True)
    model = ModelConfig(**{**config.model.model_dump(), "weights": choices[0]})
    confirm = config.confirm.model_copy(update={"folds": folds})
    refit = config.refit.model_copy(update={"enabled": decided(config, folds, sizes["val"])})
    resources = config.resources.model_copy(update={"cpu_precision": _precision(config.resources)})
    return Search(
        name=name,
        config=config.model_copy(
            update={"model": model, "confirm": confirm, "refit": refit, "resources": resources}
        ),
        data_fingerprint=dataset.fingerprint,
        weights_hash=weights_hash,
        classes_hash=hash_classes(dataset.classes),
        costs=costs,
        duplicates=copies,
        sizes={**sizes, "classes": len(dataset.classes)},
    )


def choose_points(search: Search, console: Console) -> Search:
    """The search with what it tries first of earlier searches and of its portfolio, if anything.

    Chosen once: a search that is resumed, wherever, goes on with the same points.

    Raises:
        ConfigError: There is no such portfolio.
    """
    config, dataset = search.config, load_dataset(search.config.data, search.config.cache.of_images)
    earlier = remembered(config, dataset, search.weights_hash)
    points = (*earlier, *read_portfolio(config.strategy))
    if not points:
        return search
    facts = facts_of(config, dataset, points, console.print)
    portfolio = choose(config, points, facts)
    names = ", ".join(point.name for point in portfolio.points)
    console.print(f"first    {names}", soft_wrap=True)
    for point in portfolio.points:
        if point.name in {each.name for each in earlier}:
            console.print(f"         {point.name}: {point.why}", soft_wrap=True)
    return search.model_copy(update={"facts": facts, "points": portfolio.points})


def say_refit(asked: SearchConfig, search: Search, console: Console) -> None:
    """Say so where it was decided that the winner is to be trained on all images."""
    if asked.refit.enabled == "auto" and search.config.refit.enabled is True:
        few = f"only {search.sizes['val']} images are for validation"
        console.print(f"refit    of the winner, since {few}")


def check_unchanged(before: Search, now: Search) -> None:
    """Check that trials of now can be compared with those of before.

    Raises:
        ConfigError: They are of other images or weights.
    """
    for what, then, found in (
        ("data", before.data_fingerprint, now.data_fingerprint),
        ("weights", before.weights_hash, now.weights_hash),
    ):
        if then != found:
            raise ConfigError(
                f"search {before.name}: its {what} have changed since it was started, and its "
                "trials could not be compared: put them back, or start another search"
            )


def _precision(resources: ResourcesConfig) -> str:
    """What `auto` is on the processors that run trials; it was decided before where it is not."""
    rule = resources.cpu_precision
    if rule != "auto":
        return cpu_precision(rule)
    return where_trials_run(cpu_precision, rule, cpu=resources.cpu)


def _weights(config: SearchConfig) -> list[str]:
    """The first weights that a trial may have: the first available, or all that are searched.

    Raises:
        ValueError: They are not available.
    """
    searched = config.space.get(_WEIGHTS)
    if isinstance(searched, Choices):
        return [resolve_weights((str(choice),), *config.archs) for choice in searched.choices]
    return [resolve_weights(config.model.weights, *config.archs)]


def _folds(config: SearchConfig, dataset: Dataset, console: Console) -> int:
    """The number of folds that the finalists are to run on.

    Raises:
        ValueError: There are too few images for them, or none to choose by.
    """
    if config.data.keeps_no_validation:
        raise ValueError(
            "data.fold=all trains on the validation images, and leaves a search none to choose by: "
            "leave it out, or give a fold such as 1/5"
        )
    count = folds_of(config, len(dataset.val))
    for division in {Fold.parse(name).repeat: name for name in fold_names(count)}.values():
        try:
            dataset.folded(division)
        except ValueError as error:
            if config.confirm.folds != "auto":
                raise
            why = f"folds    none, though confirm.folds=auto: {squeeze(error, _NOTE)}"
            console.print(why, soft_wrap=True, markup=False)
            return 0
    return count


def hash_first_weights(config: SearchConfig, choices: Sequence[str]) -> str | None:
    """The hash of the first weights that a search's trials may have; None where they are random."""
    if _WEIGHTS in config.space:
        return hash_searched(choices, config.archs)
    return None if choices == ["random"] else hash_weights(choices[0], config.archs)


def _check_weights(config: SearchConfig, arch: str, classes: int, weights: str) -> None:
    """Check that weights have what any trial leaves frozen, or starts its head from.

    Trained in full, a network takes any weights of its shape.

    Raises:
        ValueError: They have not.
    """
    depths = possible(config.space, config.own, "model.unfreeze_depth")
    build(arch, classes, int(min(depths)), weights)
    if "probe" in possible(config.space, config.own, "model.head"):
        check_features(arch, classes, weights)
