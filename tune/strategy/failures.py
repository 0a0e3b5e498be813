"""A study in which failed trials teach a sampler to keep away."""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tune.study.trial import failed_by_itself


class Taught(Study):
    """A study as a sampler sees it: what failed by its own fault was stopped, and is the worst.

    A diverged trial says that its values are bad, and Optuna's samplers pass over failed trials:
    they would propose the same again. The study itself is left as it is, where a failed trial has
    no score. What failed for another reason, such as a worker that was killed, says nothing.

    Args:
        study: The study.
        reads_pruned: Whether the sampler learns from stopped trials. Where it does not, a failed
            trial counts as complete, with the worst value of any trial.
    """

    def __init__(self, study: Study, *, reads_pruned: bool) -> None:
        self.__dict__.update(study.__dict__)
        self._reads_pruned = reads_pruned

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy, None, use_cache)
        if any(map(failed_by_itself, trials)):
            worst = None if self._reads_pruned else self._worst(trials)
            trials = [
                self._as_worst(trial, worst) if failed_by_itself(trial) else trial
                for trial in trials
            ]
        return [trial for trial in trials if states is None or trial.state in states]

    def _as_worst(self, trial: FrozenTrial, worst: float | None) -> FrozenTrial:
        if worst is None and not self._reads_pruned:
            return trial
        found = copy.copy(trial)
        found.state = TrialState.PRUNED if self._reads_pruned else TrialState.COMPLETE
        found.intermediate_values = {}  # of those that were stopped, it was so the earliest
        found.value = worst
        return found

    def _worst(self, trials: Sequence[FrozenTrial]) -> float | None:
        """The worst value of a trial that ended otherwise; None if there is none yet."""
        values = [trial.value for trial in trials if trial.value is not None]
        worst = min if self.direction is StudyDirection.MAXIMIZE else max
        return worst(values, default=None)
