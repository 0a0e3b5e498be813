"""How far a search scales: what it costs its driver, and how busy it keeps the nodes of a cluster.

    python benchmarks/scale.py                        # the driver: studies of 100 to 1,000 trials
    python benchmarks/scale.py --nodes 1 2 4 8        # a cluster, late in a study of 1,000 trials
    python benchmarks/scale.py --nodes 8 --epoch-seconds 1 --trials 1000     # a whole search
    python benchmarks/scale.py --quick                # each of these, in a minute

    --study postgresql+psycopg://tune@127.0.0.1:5432/scale --tracking http://127.0.0.1:5000

The driver alone: trials are simulated, and there is no Ray. What is timed is what the driver itself
does for each result (the scheduler's decision, the study's transaction, what is deleted at a
trial's end) and for each new trial (the sampler's proposal, its transaction). All of it is one
thread's work, so that the sum for a trial, over the seconds that it runs, is the share of that
thread which a running trial takes; the inverse is the number of trials that it can serve at once.

A cluster: Ray's nodes are processes of this machine, the head has no CPUs for trials, and a trial
sleeps through its epochs in a process of its own. All else is as in a search: Ray Tune, the study,
the record in MLflow. A node's slots are busy while their trials sleep: utilisation is that time
over all of it, from when each slot has had a trial until no more begin (with `--trials`) or for
`--seconds`. The study has `--grown` simulated trials before, which cost the most in a long search.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for a copy that is not installed

from searches import versions

from tune.base.environment import connect_to, prepare_environment


def main() -> None:
    """Print a row for each size of a study or of a cluster, and then one line of JSON."""
    given = _arguments()
    os.environ.update(RAY_preload_python_modules="")  # nothing is trained: no PyTorch needed
    prepare_environment()  # before Ray is imported, as each command does
    connect_to("auto")
    from scaling.driver import measured  # noqa: PLC0415
    from scaling.nodes import Load, Scale, measured_on  # noqa: PLC0415

    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        study = given.study or f"sqlite:///{folder}/study.db"
        tracking = given.tracking or f"sqlite:///{folder}/mlflow.db"
        found: dict[str, Any] = {"database": study.partition(":")[0].partition("+")[0]}
        found["sampler"] = given.sampler
        if given.quick or not given.nodes:
            found["sizes"] = []
            for size in [30] if given.quick else given.sizes:
                name = f"scale-{size}-{os.getpid()}"
                row = measured(study, name, size, given.sampler, Path(folder))
                found["sizes"].append(_shown(row))
        if given.quick or given.nodes:
            scale = Scale(study, tracking, given.sampler, Path(folder))
            load = Load(given.slots, given.epoch_seconds, given.seconds, given.trials)
            sizes, grown = given.nodes, given.grown
            if given.quick:
                sizes, grown, load = [1, 2], 12, Load(2, 0.5, 12.0, None)
            rows = measured_on(scale, sizes, 0 if load.trials else grown, load)
            found["nodes"] = [_shown(row) for row in rows]
    print(json.dumps(found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", help="a database that may be filled; by default SQLite's")
    parser.add_argument("--tracking", help="MLflow's server, to be filled; by default SQLite's")
    parser.add_argument("--sampler", default="tpe", help="joint_tpe, tpe, gp or random")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--nodes", type=int, nargs="+", help="the nodes of each cluster")
    parser.add_argument("--slots", type=int, default=4, help="the trials of a node at once")
    parser.add_argument("--epoch-seconds", type=float, default=10.0)
    parser.add_argument("--grown", type=int, default=800, help="the trials of the study before")
    parser.add_argument("--seconds", type=float, default=100.0, help="for each cluster")
    parser.add_argument("--trials", type=int, help="a whole search of so many instead")
    parser.add_argument("--quick", action="store_true", help="a minute, to see that it runs")
    return parser.parse_args()


def _shown(row: dict[str, float]) -> dict[str, float]:
    print(", ".join(f"{name} {value:g}" for name, value in row.items()), flush=True)
    return row


if __name__ == "__main__":
    main()
