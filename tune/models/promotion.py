"""The gate: every winner is registered as a version, and the best of them is the champion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from trainable.judging.objective import Objective
from tune.config.schema import SearchConfig
from tune.models.champion import best_champions, champion_of, check_loads, versions_of
from tune.models.comparison import Comparison
from tune.models.incumbent import compare_with
from tune.models.judged import sketch, times_judged
from tune.models.lookup import CHAMPION
from tune.models.registration import Challenger, find, register
from tune.models.unseen import IncomparableError
from tune.models.verdict import Rival, decide
from tune.tracking.schema import NO, ROLLED_BACK, YES, Tag, champion_score
from tune.tracking.tags import VersionTags

FIRST: Final = "the first champion, compared with none"
_PATIENCE: Final = 60.0
"""Seconds that a version waits for the decision on an older one, which may be that much older."""


@dataclass(frozen=True)
class Standing:
    """What became of a challenger.

    Attributes:
        version: Its version.
        promoted: Whether it is the champion now.
        comparison: With the champion before it, unless there was none to compare with.
        reason: The decision in words.
        bests: The best champion so far, if this one was promoted: one version, and those that could
            not be asked whether they are better.
    """

    version: int
    promoted: bool
    comparison: Comparison | None
    reason: str
    bests: tuple[int, ...] = ()


def settle_champion(
    client: MlflowClient, config: SearchConfig, challenger: Challenger, run_id: str
) -> Standing:
    """Register a challenger, and make it the champion if the config's rule says so.

    What has been done by a process that was killed is not done again, and what has been decided
    stays decided: a search that goes on does not undo a rollback. Of searches that end
    together, on whatever machines, each sees the decision on those whose version is older.

    Args:
        client: For the record and the registry.
        config: The search's.
        challenger: Its winner.
        run_id: Its run.
    """
    name = config.model_name
    version = find(client, name, run_id, challenger)
    if version is None:
        version = register(client, config, challenger, run_id)
    if VersionTags.of(version).promoted is not None:
        return _decided(client, version)
    _wait_for_turn(client, version)
    while True:
        before = champion_of(client, name)
        standing = _judge(client, config, challenger, int(version.version), before)
        # Somebody may have moved it by hand in between.
        if _number(champion_of(client, name)) == _number(before):
            break
    met = _number(before) not in (None, standing.version)
    _tag(client, name, standing, sketch(challenger.dataset) if met else None, _number(before))
    if standing.promoted:
        check_loads(client, version)
        client.set_registered_model_alias(name, CHAMPION, version.version)
    promoted = YES if standing.promoted else NO
    client.set_model_version_tag(name, version.version, Tag.PROMOTED, promoted)
    return standing


def _decided(client: MlflowClient, version: ModelVersion) -> Standing:
    """What became of a version that was decided on before."""
    number, reason = int(version.version), VersionTags.of(version).decision
    is_champion = _number(champion_of(client, version.name)) == number
    if version.tags[Tag.PROMOTED] == ROLLED_BACK and not is_champion:
        reason += "; it was rolled back since"
    elif version.tags[Tag.PROMOTED] == YES and not is_champion:
        reason += "; it is no longer the champion"
    return Standing(number, is_champion, None, reason)


def _wait_for_turn(client: MlflowClient, own: ModelVersion) -> None:
    """Wait for the decision on older versions, which the registry numbers one after the other.

    Not for those of a search that was killed before it came to one: they are old when this one is
    made, or do not change for a while.
    """
    oldest = own.creation_timestamp - 1000 * _PATIENCE

    def is_its_turn() -> bool:
        return all(
            VersionTags.of(version).promoted is not None or version.creation_timestamp < oldest
            for version in versions_of(client, own.name)
            if int(version.version) < int(own.version)
        )

    Retrying(
        retry=retry_if_result(lambda turn: not turn),
        wait=wait_fixed(0.2),
        stop=stop_after_delay(_PATIENCE),
        retry_error_callback=lambda _: None,
    )(is_its_turn)


def _judge(
    client: MlflowClient,
    config: SearchConfig,
    challenger: Challenger,
    version: int,
    champion: ModelVersion | None,
) -> Standing:
    registry = config.registry
    if champion is not None and int(champion.version) == version:  # before a kill
        return Standing(version, True, None, VersionTags.of(champion).decision)
    if champion is None:
        promoted = registry.promote != "never"
        reason = FIRST if promoted else "registry.promote=never"
        return Standing(version, promoted, None, reason, (version,))
    bests = best_champions(client, champion)
    noted = tuple(int(best.version) for best in bests)
    try:
        rivals, not_asked = _rivals(client, config, challenger, champion, bests)
    except IncomparableError as error:
        reason = f"version {champion.version} {error}: it cannot be compared"
        return Standing(version, registry.promote == "always", None, reason, (*noted, version))
    judged = times_judged(client, config.model_name, version, sketch(challenger.dataset))
    verdict = decide(registry.promote, registry.margin, rivals, judged)
    reason = "; ".join([verdict.reason, *not_asked])
    unbeaten = _unbeaten(version, noted, rivals)
    return Standing(version, verdict.promoted, rivals[0].comparison, reason, unbeaten)


def _rivals(
    client: MlflowClient,
    config: SearchConfig,
    challenger: Challenger,
    champion: ModelVersion,
    bests: Sequence[ModelVersion],
) -> tuple[list[Rival], list[str]]:
    """The champion and the best champion so far, and why one of those cannot be compared.

    The last champion alone would not do: each may be a little worse than the one before, and
    after ten of them nothing is left.

    Raises:
        IncomparableError: The champion cannot be compared.
    """
    data = challenger.dataset
    objective = Objective.of(config.objective, data.classes, several=data.has_several)
    alpha = config.registry.alpha

    def rival(role: str, version: ModelVersion) -> Rival:
        dataset, test = challenger.dataset, challenger.test
        comparison = compare_with(client, version, dataset, test, objective, alpha)
        return Rival(int(version.version), role, comparison)

    rivals, not_asked = [rival("the champion", champion)], []
    role = "the best one so far" if len(bests) == 1 else "one of the best so far"
    for best in bests:
        if best.version != champion.version:
            try:
                rivals.append(rival(role, best))
            except IncomparableError as error:
                not_asked.append(f"{role} (version {best.version}) {error}: it was not compared")
    return rivals, not_asked


def _unbeaten(version: int, noted: Sequence[int], rivals: Sequence[Rival]) -> tuple[int, ...]:
    """The best champions so far, once this version is one: all of which none is known to be worse.

    Of those that were noted, one that could not be compared stays: its files or images may be back.
    Until then the best of those that could is what the next challenger has to reach.
    """
    better_than = {rival.version: rival.comparison.is_better for rival in rivals}
    asked = [number for number in noted if number in better_than] or [rivals[0].version]
    left = [n for n in sorted({*noted, *asked}) if not better_than.get(n, False)]
    return (*left, version) if all(better_than[number] for number in asked) else tuple(left)


def _tag(
    client: MlflowClient, name: str, standing: Standing, images: str | None, previous: int | None
) -> None:
    tags, comparison = {Tag.DECISION: standing.reason}, standing.comparison
    if images is not None:
        tags[Tag.TEST_IMAGES] = images
    if comparison is not None:
        tags |= {
            champion_score(comparison.objective): f"{comparison.champion:.6f}",
            Tag.P_VALUE: f"{comparison.p_value:.6g}",
            Tag.DIFFERENCE: f"{comparison.low:+.6f} to {comparison.high:+.6f}",
            Tag.MOST_LOST: f"{comparison.most_lost:.6f}",
        }
    if standing.promoted and previous not in (None, standing.version):
        tags[Tag.PREVIOUS] = str(previous)
    if standing.promoted and standing.bests:
        tags[Tag.BEST_CHAMPION] = " ".join(map(str, standing.bests))
    for key, value in tags.items():
        client.set_model_version_tag(name, str(standing.version), key, value)


def _number(version: ModelVersion | None) -> int | None:
    return None if version is None else int(version.version)
