"""Compresses recorded curves into `curves/`, where a replay finds them.

python benchmarks/strategies/pack.py RECORDED
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

from portfolio import CURVES
from rows import FOLDED, read


def pack(source: Path, target: Path) -> None:
    """Compress records, in an order that does not depend on when they were recorded.

    What the tasks and the strategies do not need (how long a trial took in all) is left out, and
    seconds have four digits.
    """
    size = 0
    for path in sorted((*source.glob("*.jsonl"), *(source / FOLDED).glob("*.jsonl"))):
        records = read(path)
        records.sort(key=lambda each: (each["number"], each["length"], each["seed"]))
        lines = "".join(json.dumps(_packed(each)) + "\n" for each in records)
        packed = target / path.relative_to(source).with_suffix(".jsonl.gz")
        packed.parent.mkdir(parents=True, exist_ok=True)
        packed.write_bytes(gzip.compress(lines.encode(), mtime=0))
        size += packed.stat().st_size
        commits = ", ".join(sorted({each["commit"] for each in records}))
        print(f"{path.relative_to(source)}: {len(records)} records of commit {commits}")
    print(f"{size / 1e6:.2f} MB in all")


def _packed(record: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in record.items() if key != "total_seconds"}
    kept["epochs"] = [
        {key: float(f"{v:.4g}") if key.endswith("seconds") else v for key, v in epoch.items()}
        for epoch in record["epochs"]
    ]
    return kept


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recorded", type=Path, help="the folder that record.py wrote")
    parser.add_argument("--out", type=Path, default=CURVES)
    given = parser.parse_args()
    pack(given.recorded, given.out)
