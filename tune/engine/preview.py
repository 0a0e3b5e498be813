"""What a search would try first and why: nothing is started, downloaded or written."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from rich.console import Console

from trainable.data.datasets import Dataset, is_local, load_dataset
from trainable.network import published
from trainable.network.weights import resolve_weights
from trainable.registries import ARCHS
from tune.base.errors import ConfigError
from tune.config.durations import duration_text
from tune.config.points import Point
from tune.config.portfolios import read_portfolio
from tune.config.registries import SAMPLERS
from tune.config.schema import SearchConfig
from tune.config.walk import in_words
from tune.engine.preflight import hash_first_weights
from tune.strategy.budget import usual_epoch
from tune.strategy.facts import PROBE, Say, describe_facts, facts_of
from tune.strategy.memory import remembered
from tune.strategy.portfolio import choose, read_search
from tune.strategy.scheduling import course, longest_trial
from tune.study.folder import SearchFolder
from tune.study.searches import searches_in
from tune.study.storage import has_study, storage_url

_LOOKED_AT: Final = 10
"""The searches of this folder that are asked how long an epoch took, the latest."""


def preview(config: SearchConfig, console: Console) -> None:
    """Print what a search would try first, and why.

    Args:
        config: The search.
        console: Where it is printed.

    Raises:
        ConfigError: The search could not start.
    """

    def say(line: str) -> None:
        console.print(line, soft_wrap=True)

    say(f"search   {config.name}: nothing is started, and nothing written but to the cache")
    try:
        weights = resolve_weights(config.model.weights, *config.archs[:1])
        dataset = (
            load_dataset(config.data, config.cache.of_images) if is_local(config.data) else None
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    say(f"weights  {weights}")
    if dataset is None:
        say(f"data     {config.data.source}: not on this machine yet, so nothing is known of it")
    else:
        sizes = (f"{len(dataset.split(p))} {p}" for p in ("train", "val", "test"))
        classes = f"{len(dataset.classes)} classes"
        say(f"data     {config.data.source}: {' + '.join(sizes)} images, {classes}")
    model = config.model.model_copy(update={"weights": (weights,)})
    unstored = config.cache.model_copy(update={"enabled": False})
    resolved = config.model_copy(update={"model": model, "cache": unstored})
    _say_space(resolved, say)
    _say_points(resolved, dataset, say)
    _say_course(resolved, dataset, say)


def _say_space(config: SearchConfig, say: Say) -> None:
    width = max(map(len, config.space))
    for number, (key, values) in enumerate(config.space.items()):
        say(f"{'space' if number == 0 else '':8s} {key:{width}s}  {in_words(values)}")


def _say_points(config: SearchConfig, dataset: Dataset | None, say: Say) -> None:
    points, facts = read_portfolio(config.strategy), dict[str, Any]()
    if dataset is not None:
        points = (*_remembered(config, dataset, say), *points)
    if dataset is not None:
        probed = points if _is_here(config.model.weights[0], config.model.arch) else ()
        facts = facts_of(config, dataset, probed, say)
        say(f"facts    {describe_facts(facts)}")
    if points and PROBE not in facts and any(PROBE in point.when for point in points):
        say(f"         {PROBE} is measured at the start, and points that ask for it left out here")
    portfolio = choose(config, points, facts)
    asked = config.num_trials
    tried, beyond = portfolio.points[:asked], portfolio.points[asked:]
    say(f"first    {len(tried)} of {asked} trials:")
    for number, point in enumerate(tried):
        say(f"{number:6d}   {point.name}: {point.why}")
        say(f"         {' '.join(f'{key}={value}' for key, value in point.values.items())}")
    late = [(point.name, f"there are {asked} trials") for point in beyond]
    for name, reason in (*portfolio.dropped, *late):
        say(f"     -   {name}: not tried, {reason}")
    sampler = config.sampler
    ended = "ended" if SAMPLERS[sampler.name].reads_pruned else "completed (stopped ones are none)"
    starts = f", which draws at random until {sampler.startup_trials} trials have {ended}"
    say(f"then     by {sampler.name}{starts if sampler.name != 'random' else ''}")


def _remembered(config: SearchConfig, dataset: Dataset, say: Say) -> Sequence[Point]:
    """What earlier searches give, as far as that can be seen without a network."""
    url, weights = storage_url(config), config.model.weights
    here = all(_is_here(weights[0], arch) for arch in config.archs)
    if not url.startswith("sqlite:") or not here or "model.weights" in config.space:
        if config.strategy.transfer and not config.sampler.points:
            say("         what earlier searches found is looked up at the start")
        return ()
    return remembered(config, dataset, hash_first_weights(config, list(weights)))


def _say_course(config: SearchConfig, dataset: Dataset | None, say: Say) -> None:
    longest, trials = longest_trial(config), config.num_trials
    steps = course(config)
    shown = [
        f"{'' if number == 0 else 'about '}{count} train {epochs}"
        for number, (epochs, count) in enumerate(steps)
    ]
    say(f"rungs    {config.scheduler.name}, of epochs: {', '.join(shown)}")
    before, total = 0, 0
    for epochs, count in steps:
        total += (epochs - before) * count
        before = epochs
    say(f"epochs   about {total} for the trials, of {trials * longest} if none were stopped")
    seconds = None if dataset is None else _epoch_seconds(dataset.fingerprint)
    cost = "not known: no search in this folder has trained on these images"
    if seconds is not None:
        all_of_it = duration_text(round(seconds * total))
        cost = f"about {all_of_it} of trial time, at {seconds:.2g} s an epoch as before"
    say(f"cost     {cost}")


def _epoch_seconds(fingerprint: str) -> float | None:
    """What an epoch on these images took in the latest search of this folder that knows."""
    folders = sorted(map(SearchFolder, searches_in()), key=lambda home: home.name)
    for home in reversed(folders[-_LOOKED_AT:]):
        with suppress(ConfigError):  # of a search that cannot be read, nothing is known
            search = home.load()
            known = search.data_fingerprint == fingerprint
            url = storage_url(search.config)
            # A dry run asks no database elsewhere, which may be slow or away.
            if known and url.startswith("sqlite:") and has_study(url, search.name):
                seconds = usual_epoch(read_search(search).trials.values())
                if seconds:
                    return seconds
    return None


def _is_here(weights: str, arch: str) -> bool:
    """Whether weights can be loaded without a download."""
    url = ARCHS[arch](arch).weights_url(weights)
    return url is None or published.is_here(url)
