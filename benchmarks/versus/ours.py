"""A search of this project that ends by a time, and what its registered model reached.

python benchmarks/versus/ours.py settings.json
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import tune


def main() -> None:
    """Search, and print the test accuracy of what was registered."""
    settings = json.loads(Path(sys.argv[1]).read_text())
    result = tune.run(settings["config"], time_budget=settings["until"] - time.time())
    print(json.dumps({"test_acc": result.test_score}))


if __name__ == "__main__":
    main()
