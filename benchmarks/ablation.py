"""What each ingredient of the speed gives: ours with one switched off at a time.

    TUNE_REAL_DATA=FOLDER python benchmarks/ablation.py
    python benchmarks/ablation.py --quick

Twelve trials of three depths (0, 1, 3), half of them with flips, 2 epochs on 1,000 images of
CIFAR-10 (JPEG) at 224 px, through Ray, two at once on two cores, with an empty store each time:
about 20 minutes. Prints seconds from the start of the first trial to the end of the last, over
those with all ingredients.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from searches import versions
from versus.sides import REPOSITORY, Figures, Plan, run_ours
from versus_plain_ray_tune import material_of, policies_of, trials

WITHOUT = REPOSITORY / "benchmarks" / "versus" / "without.py"


def main() -> None:
    """Run the same trials with all and without each, and print the ratios as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one epoch on fewer images")
    quick = parser.parse_args().quick
    print(f"{os.cpu_count()} CPUs, {versions()}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, val = (200, 50) if quick else (1000, 250)
        material = material_of(folder, train, val, 224)
        policies, _ = policies_of(material)
        values = trials(3 if quick else 12, (0, 1, 3), policies)
        plan = Plan(material, values, epochs=1 if quick else 2)

        def run(what: str, *words: str, program: str = "") -> Figures:
            os.environ["WITHOUT"] = what
            target = folder / what
            found = run_ours(plan, target, target / "store", *words, program=program)
            print(f"without {what:14s} {found}", flush=True)
            return found

        runs = {
            "nothing": run("nothing"),
            "store": run("store", "cache.enabled=false"),
            "bf16": run("bf16", "train.precision=fp32"),
            "channels_last": run("channels_last", program=str(WITHOUT)),
            "actor_reuse": run("actor_reuse", program=str(WITHOUT)),
        }
    base = runs.pop("nothing").trial_seconds
    print(json.dumps({what: round(found.trial_seconds / base, 2) for what, found in runs.items()}))


if __name__ == "__main__":
    main()
