"""Would it pay to start a trial on the node that has its frozen prefix's outputs already?

    python benchmarks/affinity.py            # --quick: fewer searches

Simulated: nodes with slots, trials of one, three or nine epochs as ASHA cuts them, a prefix drawn
for each from a few (depth and augmentation policy; a search settles on some, so that the later
trials draw from fewer), and for each prefix one computation a node, which takes as long as some
epochs and for which the other trials of that node wait. A trial starts when a slot is free, on

- any: the slot that has been free the longest, as Ray has it;
- prefer: of the slots that are free, one of a node that has its prefix: no slot waits for it;
- ahead: as before, and of four trials that are proposed ahead the first that suits a free slot's
  node, which lets a sampler know less when it proposes (not counted here).
- once: as if what one node has computed were on all: what no placing can beat.

What counts is the time of the search and how often a prefix is computed.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from statistics import mean, stdev

RULES = ("any", "prefer", "ahead", "once")
AHEAD = 4
PREFIXES = 20
"""Five depths with a prefix, four policies."""
SLOTS = 4


@dataclass(frozen=True)
class Drawn:
    """A trial: which prefix it needs, and the seconds of each of its epochs; one takes about 1."""

    prefix: int
    epochs: tuple[float, ...]


@dataclass
class Nodes:
    """Which node has which prefix, and from when on."""

    count: int
    shared: bool
    ready: dict[tuple[int, int], float] = field(default_factory=dict)

    def has(self, node: int, prefix: int) -> bool:
        """Whether a node has a prefix, or is computing it."""
        return (0 if self.shared else node, prefix) in self.ready

    def get(self, node: int, prefix: int, now: float, cost: float) -> float:
        """When a node has a prefix that a trial needs now."""
        return self.ready.setdefault((0 if self.shared else node, prefix), now + cost)


def main() -> None:
    """Print a row for each size of a cluster and each cost, and then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    seeds, rows = range(4 if quick else 40), []
    for trials in (100, 1000):
        for nodes in (2, 8):
            for cost in (0.5, 2.0, 8.0):
                found = {
                    rule: [searched(rule, trials, nodes, cost, seed) for seed in seeds]
                    for rule in RULES
                }
                rows.append(row(trials, nodes, cost, found))
                print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    print(json.dumps(rows))


def row(
    trials: int, nodes: int, cost: float, found: dict[str, list[tuple[float, int]]]
) -> dict[str, float]:
    """The computations, and the time saved against `any` in percent, search by search."""
    base = [time for time, _ in found["any"]]
    shown: dict[str, float] = {"trials": trials, "nodes": nodes, "prefix_epochs": cost}
    for rule, each in found.items():
        shown[f"{rule}_computed"] = round(mean(count for _, count in each), 1)
        if rule != "any":
            saved = [100 * (1 - time / own) for (time, _), own in zip(each, base, strict=True)]
            shown[f"{rule}_saves_%"] = round(mean(saved), 2)
            shown[f"{rule}_error_%"] = round(stdev(saved) / len(saved) ** 0.5, 2)
    return shown


def drawn(trials: int, generator: random.Random) -> list[Drawn]:
    """The trials of a search."""
    liked = [generator.random() ** 3 for _ in range(PREFIXES)]
    found = []
    for number in range(trials):
        settled = number / trials  # from any prefix alike to those that are liked
        weights = [1 - settled + settled * each * PREFIXES / sum(liked) for each in liked]
        (prefix,) = generator.choices(range(PREFIXES), weights)
        (count,) = generator.choices((1, 3, 9), (6, 2, 1))
        own = generator.uniform(0.5, 1.5)
        epochs = tuple(own * generator.uniform(0.9, 1.1) for _ in range(count))
        found.append(Drawn(prefix, epochs))
    return found


def searched(rule: str, trials: int, nodes: int, cost: float, seed: int) -> tuple[float, int]:
    """The time of a search and how many prefixes were computed in it."""
    waiting = drawn(trials, random.Random(seed))
    have = Nodes(nodes, shared=rule == "once")
    free = [slot % nodes for slot in range(nodes * SLOTS)]
    running, now = list[tuple[float, int]](), 0.0
    while waiting or running:
        while waiting and free:
            index, slot = chosen(rule, waiting, free, have)
            trial, node = waiting.pop(index), free.pop(slot)
            start = max(now, have.get(node, trial.prefix, now, cost))
            heappush(running, (start + sum(trial.epochs), node))
        now, node = heappop(running)
        free.append(node)
    return now, len(have.ready)


def chosen(
    rule: str, waiting: Sequence[Drawn], free: Sequence[int], have: Nodes
) -> tuple[int, int]:
    """Which of the waiting trials starts, and in which of the free slots."""
    ahead = {"any": 0, "once": 0, "prefer": 1, "ahead": AHEAD}[rule]
    for index, trial in enumerate(waiting[:ahead]):
        for slot, node in enumerate(free):
            if have.has(node, trial.prefix):
                return index, slot
    return 0, 0


if __name__ == "__main__":
    main()
