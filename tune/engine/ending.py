"""Where the winner of a search is chosen and tested: here, or where a trial would run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tune.engine.nodes import trials_run_here, where_trials_run
from tune.engine.resources import TrialResources
from tune.models.contest import Contest
from tune.models.winner import Tested, hold, hold_elsewhere


def hold_contest(
    contest: Contest, resources: TrialResources | None, say: Callable[[str], None]
) -> Tested:
    """Choose the winner and test it, on a cluster with the resources of a trial.

    Args:
        contest: What may be registered.
        resources: What a trial gets; None where no Ray runs.
        say: Says that a node is waited for.

    Raises:
        Halt: No node is left for it.
    """
    if resources is None or trials_run_here(resources.cpu, resources.gpu):
        return hold(contest)
    sent = replace(contest, memory_fraction=resources.memory_fraction).without_addresses()
    found = where_trials_run(hold_elsewhere, sent, cpu=resources.cpu, gpu=resources.gpu, say=say)
    return found.unpacked()
