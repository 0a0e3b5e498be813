"""What a GPU makes of it: fractions, throughput, a search, and the same results as on a CPU.

    python benchmarks/gpu.py                          # all, in under 10 minutes
    python benchmarks/gpu.py --only fractions         # or some, such as search,semantics
    python benchmarks/gpu.py --quick --cpu            # whether it works, as without a GPU

Each section is a process of its own with a limit of its own, and tells each figure as soon as it
has it: one that hangs or breaks loses only what it had not told. The last line is all of it as
JSON. `search` wants CIFAR-10 (JPEG): `TUNE_REAL_DATA`, a folder with `data/cifar10-jpeg.tar.gz` and
`weights/`; without Ray, MLflow and Optuna it is skipped. The others need only the trial's own
packages. Profiles go into `--out`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).parents[1]
SHARES = {"semantics": 0.12, "throughput": 0.26, "fractions": 0.28, "search": 0.34}
"""Of the time, by section, if all are run. The first to run comes first."""
PACKAGES = ("torch", "torchvision", "triton", "numpy", "ray", "optuna", "mlflow")


def main() -> int:
    """Run the sections, and print all they told as one line of JSON. Returns the exit code."""
    arguments = parse()
    names = [name for name in SHARES if name in arguments.only.split(",")]
    figures: dict[str, Any] = {"machine": machine(cpu=arguments.cpu)}
    print(json.dumps(figures["machine"]), flush=True)
    begin = time.monotonic()
    for position, name in enumerate(names):
        left = arguments.seconds - (time.monotonic() - begin)
        seconds = left * SHARES[name] / sum(SHARES[other] for other in names[position:])
        print(f"== {name}, at most {seconds:.0f} s", flush=True)
        figures[name] = section(name, seconds, arguments)
    print(json.dumps(figures))
    return 0 if all(figures[name]["ended"] == "well" for name in names) else 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(SHARES), help="sections, with commas between")
    parser.add_argument("--seconds", type=float, default=570, help="for all together")
    parser.add_argument("--quick", action="store_true", help="the smallest sizes")
    parser.add_argument("--cpu", action="store_true", help="leave the GPU alone")
    parser.add_argument("--out", default="gpu-profiles", help="folder for profiles")
    arguments = parser.parse_args()
    if arguments.quick and shutil.which("nvidia-smi") is None:
        arguments.cpu = True
    unknown = set(arguments.only.split(",")) - SHARES.keys()
    if unknown:
        parser.error(f"--only {arguments.only}: no section {min(unknown)}; {', '.join(SHARES)}")
    return arguments


def machine(*, cpu: bool) -> dict[str, Any]:
    """What it is measured on."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        **{name: _version(name) for name in PACKAGES},
    }
    if not cpu and shutil.which("nvidia-smi") is not None:
        query = "--query-gpu=name,driver_version,memory.total"
        command = ["nvidia-smi", query, "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        found["gpu"] = done.stdout.strip()
    return found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def section(name: str, seconds: float, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run a section, and collect what it tells until it ends or its time is up."""
    options = {
        "deadline": time.monotonic() + seconds - 5,
        "out": str(Path(arguments.out).resolve()),
        "quick": arguments.quick,
        "cpu": arguments.cpu,
        "real": os.environ.get("TUNE_REAL_DATA"),
    }
    paths = [str(REPOSITORY), str(REPOSITORY / "benchmarks"), os.environ.get("PYTHONPATH", "")]
    figures: dict[str, Any] = {}
    begin = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", f"on_gpu.{name}", json.dumps(options)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    ) as process:
        late = threading.Timer(seconds, end, [process.pid])
        late.start()
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.startswith("{"):
                figures |= json.loads(line)
        code = process.wait()
        late.cancel()
    took = time.monotonic() - begin
    late_at_all = code < 0 and took >= seconds
    ended = "well" if code == 0 else "its time was up" if late_at_all else f"exit code {code}"
    return {"ended": ended, "seconds": round(took, 1), **figures}


def end(pid: int) -> None:
    """Kill a process and all that it has started."""
    try:
        family = [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return
    for process in reversed(family):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


if __name__ == "__main__":
    sys.exit(main())
