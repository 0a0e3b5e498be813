"""What a search's model is known by in MLflow: its identity, and its scores."""

from __future__ import annotations

from trainable.judging.objective import Objective
from trainable.judging.predictions import Predictions
from tune.reporting.results import Model, SearchResults
from tune.strategy.confirmation import Finalist
from tune.study.search import Search
from tune.study.trial import TrialState
from tune.tracking import schema
from tune.tracking.schema import Tag


def identity_of(search: Search, winner: Finalist, model: Model) -> dict[str, str]:
    """Tags that tell a model from any other of its search.

    With a time budget, the same trial may win twice: cut short, and once it has gone on.
    """
    trial, epochs = winner.trial, search.config.trial(winner.trial.params).train.epochs
    cut = f"epoch {trial.best} of {epochs}" if trial.state is TrialState.PRUNED else schema.NO
    return {
        Tag.BEST_TRIAL: str(trial.number),
        Tag.CANDIDATE: model.candidate,
        Tag.INGREDIENTS: " ".join(model.runs),
        **({} if search.config.budget.time is None else {Tag.CUT_SHORT: cut}),
    }


def scores_of(results: SearchResults, model: Model, test: Predictions) -> dict[str, float]:
    """The values by which a model is known, on its search's run as on its version."""
    winner, objective = results.finalists[0], results.objective
    scores = {
        **{Objective(metric).on("test"): metric.of(test) for metric in objective.metrics},
        schema.TEST_ACC: test.accuracy,
        schema.TEST_LOSS: test.loss,
    }
    if model.score is not None:
        scores[schema.best(objective)] = model.score
    if winner.runs:
        scores[schema.confirmed(objective)] = winner.mean
        scores[schema.spread(objective)] = winner.spread
    return scores


def trust_of(results: SearchResults, test: Predictions) -> dict[str, float]:
    """What the model's probabilities are worth, and how that held on the test images."""
    found = results.calibration
    if found is None:
        return {}
    sure = found.is_sure(test)
    return {
        schema.TEMPERATURE: found.temperature,
        schema.UNSURE_BELOW: found.unsure_below,
        schema.TEST_CALIBRATION_ERROR: found.of(test).calibration_error(),
        schema.TEST_SURE: float(sure.mean()),
        **({schema.TEST_SURE_ACC: test.at(sure).accuracy} if sure.any() else {}),
    }
