"""Where the winner of a search is chosen and tested: here, or where a trial would run."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import ray

from tune.engine.cluster import is_own
from tune.engine.nodes import alive_nodes
from tune.engine.resources import TrialResources
from tune.models.winner import Contest, Tested, hold, hold_elsewhere

_TRIES: Final = 3
"""How often it is begun again on another node when one is lost."""


def hold_contest(contest: Contest, resources: TrialResources | None) -> Tested:
    """Choose the winner and test it, with the resources of a trial.

    In this process where Ray has this machine alone: the trials have ended, and the data is here.

    Args:
        contest: What may be registered.
        resources: What a trial gets; None where no Ray runs.
    """
    if resources is None or is_own() or not ray.is_initialized() or len(alive_nodes()) < 2:
        return hold(contest)
    task = ray.remote(hold_elsewhere).options(
        num_cpus=resources.cpu, num_gpus=resources.gpu, max_retries=_TRIES, max_calls=1
    )
    capped = replace(contest, memory_fraction=resources.memory_fraction)
    return ray.get(task.remote(capped)).unpacked()
