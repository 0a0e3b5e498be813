"""Opening the study of a search."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import optuna
from optuna.study import Study

from trainable.judging.objective import Objective
from tune.base.errors import ConfigError
from tune.config.schema import SearchConfig
from tune.study.definition import write_definition
from tune.study.ledger import Ledger
from tune.study.plan import Plan
from tune.study.search import Search
from tune.study.storage import (
    UNUSABLE,
    has_study,
    load_study,
    open_storage,
    reopen,
    storage_url,
    unusable,
)
from tune.study.trial import CUT_SHORT, ERROR, TrialState

_SEARCH: Final = "search"
"""Attribute of a study: the identity of the search that it belongs to."""
_POINT: Final = "point"
"""Attribute of a trial that was planned: what was planned."""


def open_ledger(search: Search, plan: Plan) -> Ledger:
    """The ledger of a search, made if it is not there yet.

    Args:
        search: The search.
        plan: What its trials are to be.

    Raises:
        ConfigError: The storage cannot be used, or has another search of this name.
    """
    url, config = storage_url(search.config), search.config
    objective = Objective.named(config.objective.metric)
    try:
        study = optuna.create_study(
            study_name=plan.study,
            storage=open_storage(url),
            sampler=plan.sampler,
            direction="maximize" if objective.maximizes else "minimize",
            load_if_exists=True,
        )
        owner = study.user_attrs.get(_SEARCH)
        if _is_unowned(study):
            if plan.kind == "trial":  # first: where the owner is known, what it is has to be too
                write_definition(study, search)
            study.set_user_attr(_SEARCH, owner := search.identity)
        if owner == search.identity:
            if plan.kind == "trial":
                write_definition(study, search)
            _enqueue(study, plan.points[: plan.asked])
    except (*UNUSABLE, ValueError) as error:
        raise unusable(url, error) from error
    _check_owner(search, owner, url)
    return Ledger(study, config, plan)


def _is_unowned(study: Study) -> bool:
    """Whether whatever made a study was killed before it said whose it is."""
    return study.user_attrs.get(_SEARCH) is None and not study.get_trials(deepcopy=False)


def _check_owner(search: Search, owner: str | None, url: str) -> None:
    if owner != search.identity:
        raise ConfigError(f"--name {search.name}: there is a search of this name in {url}")


def check_name(search: Search) -> None:
    """Check that the storage has no study of another search of this name.

    Raises:
        ConfigError: It has, or it cannot be used.
    """
    url = storage_url(search.config)
    if has_study(url, search.name):
        study = load_study(url, search.name)
        if not _is_unowned(study):
            _check_owner(search, study.user_attrs.get(_SEARCH), url)


def check_study(search: Search) -> None:
    """Check that the study of a search whose trials have run is still there.

    A new one would be filled with other trials, under the runs that MLflow has of the old ones.

    Raises:
        ConfigError: It is gone.
    """
    url = storage_url(search.config)
    if not has_study(url, search.name):
        raise ConfigError(
            f"search {search.name}: its trials have run, and {url} has no study of them any more: "
            "restore it, or start another search"
        )


def reopen_cut_short(search: Search, study: str) -> None:
    """Have the trials of a study go on that ended because the time was up, if it is there.

    Args:
        search: The search.
        study: The study's name: the search's own, or its confirmation's.

    Raises:
        ConfigError: The storage cannot be used.
    """
    url = storage_url(search.config)
    if not has_study(url, study):
        return
    found = load_study(url, study)
    if found.user_attrs.get(_SEARCH) != search.identity:
        return
    trials = found.get_trials(deepcopy=False)
    cut = [trial._trial_id for trial in trials if CUT_SHORT in trial.user_attrs]
    try:
        reopen(url, cut, (CUT_SHORT, ERROR))
    except UNUSABLE as error:
        raise unusable(url, error) from error


def conclude_study(ledger: Ledger, search: Search) -> None:
    """Note in its study that a search is concluded.

    Raises:
        Halt: The storage is full, or has been away for too long.
    """
    ledger.write(lambda: write_definition(ledger.study, search))


def read_ledger(config: SearchConfig, plan: Plan) -> Ledger:
    """The ledger of a search that was started, to be looked at.

    Raises:
        ConfigError: It was not, or the storage cannot be used.
    """
    return Ledger(load_study(storage_url(config), plan.study), config, plan)


def _enqueue(study: Study, points: Sequence[Mapping[str, Any]]) -> None:
    """Have the points tried first, but for those that a run before this one enqueued or drew."""
    trials = study.get_trials(deepcopy=False)
    there = {trial.user_attrs.get(_POINT) for trial in trials}
    drawn = [trial.params for trial in trials if trial.state is not TrialState.WAITING]
    for point in points:
        mark = json.dumps(dict(point), sort_keys=True)
        if mark not in there and dict(point) not in drawn:
            study.enqueue_trial(dict(point), user_attrs={_POINT: mark})
            there.add(mark)
