"""How many trials share a GPU: `resources.gpu=auto`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, Final

from trainable.augment.policies import DeviceMemory
from trainable.config import TrialConfig
from trainable.data.datasets import load_dataset
from trainable.device import CONTEXT_BYTES
from trainable.registries import POLICIES
from trainable.rehearsal import DataShape, MemoryNeed, measure_need
from tune.config.schema import SearchConfig
from tune.config.walk import possible
from tune.engine.nodes import Answer, alive_nodes, ask_each

MAX_TRIALS_PER_GPU: Final = 8
"""More of them gain little, and the scheduler stops weak ones later."""

SLACK: Final = 1.15
"""Memory over the measured peak: what lies between tensors is lost to a trial."""

_SECONDS: Final = 180
"""How long measuring may take."""

_HEAVY: Final[Mapping[str, Callable[[Any], float]]] = {
    "data.image_size": lambda side: side,
    "train.batch_size": lambda size: size,
    "augment.mixup": lambda alpha: alpha,
    "augment.cutmix": lambda alpha: alpha,
    "optim.name": lambda name: {"sgd": 1}.get(name, 2),
    "train.precision": lambda precision: precision == "fp32",
}
"""By key, what makes one of its values take more memory than another."""

_TOP_DEPTHS: Final = 2
"""The deepest trains most, but the one below may keep more: its cut has larger maps."""


def heaviest(config: SearchConfig) -> list[TrialConfig]:
    """The trials of a search's space one of which takes the most memory."""
    most = {
        key: max(_searched(config, key), key=_HEAVY[key]) for key in config.space if key in _HEAVY
    }
    depths = sorted(_searched(config, "model.unfreeze_depth"))[-_TOP_DEPTHS:]
    archs = _searched(config, "model.arch")
    policies = _heaviest_policies(_searched(config, "augment.policy"))
    return [
        config.trial(
            {**most, "model.arch": arch, "model.unfreeze_depth": depth, "augment.policy": policy}
        )
        for arch, depth, policy in product(archs, depths, policies)
    ]


def _heaviest_policies(names: Sequence[str]) -> list[str]:
    """Those for which a GPU holds no less of anything than for another; of equals, the first."""
    first: dict[DeviceMemory, str] = {}
    for name in names:
        first.setdefault(POLICIES[name]().device_memory(), name)
    return [
        name
        for memory, name in first.items()
        if not any(memory != other and memory.within(other) for other in first)
    ]


def trials_per_gpu(need: MemoryNeed) -> int:
    """How many trials a GPU holds at once, each with CUDA's own memory."""
    each = need.share * SLACK + CONTEXT_BYTES
    return max(1, min(int(need.total / each), MAX_TRIALS_PER_GPU))


def measure(config: SearchConfig, say: Callable[[str], None]) -> MemoryNeed | None:
    """What the heaviest trial of a search takes on the GPU of the cluster that holds the fewest.

    Found on a GPU of each node, since a fraction is the same on all; those of one node are alike.
    In workers of their own: this process takes none of a GPU's memory.

    Args:
        config: The search.
        say: Says which nodes could not be measured.

    Returns:
        None where it can be found on none: none sees its GPU, or has a whole one free, as where
        another search has a share of each.
    """
    shape = DataShape.of(load_dataset(config.data, config.cache.of_images))
    cpu = config.resources.cpu
    able = [
        node
        for node in alive_nodes()
        if node["Resources"].get("GPU", 0.0) >= 1 and node["Resources"].get("CPU", 0.0) >= cpu
    ]
    # The processes end with their calls, and with them what they hold of a GPU.
    answers = ask_each(
        *(measure_need, heaviest(config), shape),
        seconds=_SECONDS,
        nodes=able,
        ends_processes=True,
        resources={"num_cpus": cpu, "num_gpus": 1},
    )
    return tightest(answers, say)


def tightest(answers: Sequence[Answer], say: Callable[[str], None]) -> MemoryNeed | None:
    """Of what nodes have measured, that by which a GPU holds the fewest trials; None of none."""
    needs = {answer.node: answer.value for answer in answers if answer.value is not None}
    for answer in answers:
        if answer.node not in needs:
            say(f"{answer.node} was not measured ({answer.error or 'it sees no GPU'})")
    totals = {need.total for need in needs.values()}
    if len(totals) > 1:
        of = f"{min(totals) / 10**9:.1f} to {max(totals) / 10**9:.1f} GB"
        say(f"the nodes' GPUs have {of}; the share is that of the one that holds the fewest trials")
    return min(needs.values(), key=lambda need: (trials_per_gpu(need), need.total), default=None)


def _searched(config: SearchConfig, key: str) -> list[Any]:
    """The values that a search tries of a key."""
    return possible(config.space, config.own, key)
