"""How quickly the registered model answers, served as the README says.

    python benchmarks/serving.py              # 60 seconds
    python benchmarks/serving.py --quick      # 10
    python benchmarks/serving.py --folder FOLDER --workers 2

Runs a short digits search in an empty folder, or takes one in which a search has run, starts
`mlflow models serve` there on a free port, and has clients send it images, one a request, as fast
as they are answered. Server and clients share two cores. Latencies are those that a client sees.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import numpy as np
from PIL import Image
from searches import REPOSITORY, versions
from sklearn.datasets import load_digits

CORES = 2
MODEL = "models:/resnet18-digits@champion"
SHORT = ("--num-samples=2", "train.epochs=2", "confirm.top_k=0")


@dataclass
class Answers:
    """What clients were answered.

    Attributes:
        seconds: Of each answer that was right in form.
        errors: All others, in words.
    """

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def main() -> None:
    """Serve, load, and print what was measured, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10 seconds")
    parser.add_argument("--folder", type=Path, help="in which a digits search has run")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--workers", type=int, default=1, help="of the server")
    parser.add_argument("--batch", type=int, default=1, help="images a request")
    given = parser.parse_args()
    seconds = 10.0 if given.quick else 60.0
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    print(f"{CORES} CPUs, {versions()}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or searched(Path(name))
        with serving(folder, given.workers) as port:
            load(port, 1, 2.0, given.batch)  # the first answers take longer
            answers = load(port, given.clients, seconds, given.batch)
    report(answers, seconds, given)


def searched(folder: Path) -> Path:
    """Run a short search in a folder."""
    config = str(REPOSITORY / "configs" / "digits.yaml")
    command = [sys.executable, "-m", "tune.search", "--config", config, *SHORT]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=sys.stderr)
    return folder


@contextmanager
def serving(folder: Path, workers: int) -> Iterator[int]:
    """Serve the champion for as long as this lasts; gives the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    binaries = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    words = ["--env-manager", "local", "--port", str(port), "--workers", str(workers)]
    server = subprocess.Popen(
        ["mlflow", "models", "serve", "-m", MODEL, *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,  # a line for each request
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        start = time.monotonic()
        while not answers_ping(port):
            if server.poll() is not None or time.monotonic() - start > 120:
                raise RuntimeError("the server did not start")
            time.sleep(0.1)
        print(f"the server answers after {time.monotonic() - start:.1f} s", flush=True)
        yield port
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def answers_ping(port: int) -> bool:
    """Whether the server has started."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def load(port: int, clients: int, seconds: float, batch: int) -> Answers:
    """Have clients ask for so long, each on a connection of its own."""
    answers, end = Answers(), time.monotonic() + seconds
    threads = [
        threading.Thread(target=ask, args=(port, end, batch, number, answers))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def ask(port: int, end: float, batch: int, seed: int, answers: Answers) -> None:
    """Ask again and again, for other digits each time."""
    pictures, draw = digits(), np.random.default_rng(seed)
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    while time.monotonic() < end:
        rows = [{"image": pictures[i]} for i in draw.integers(len(pictures), size=batch)]
        body = json.dumps({"dataframe_records": rows})
        start = time.perf_counter()
        try:
            connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            told = json.loads(answer.read())
            if answer.status != 200 or len(told["predictions"]) != batch:
                raise ValueError(f"{answer.status}: {told}")
            answers.seconds.append(time.perf_counter() - start)
        except (OSError, HTTPException, ValueError, KeyError) as error:
            answers.errors.append(f"{type(error).__name__}: {error}"[:300])
            connection.close()


def digits() -> list[str]:
    """The digits as PNG files in base64."""
    texts = []
    for pixels in load_digits().images:
        buffer = io.BytesIO()
        Image.fromarray((pixels * 255 / 16).astype(np.uint8)).save(buffer, "png")
        texts.append(base64.b64encode(buffer.getvalue()).decode())
    return texts


def report(answers: Answers, seconds: float, given: argparse.Namespace) -> None:
    """Print what was measured."""
    if not answers.seconds:
        raise SystemExit(f"no request was answered: {answers.errors[:3]}")
    p50, p99 = (1000 * float(np.percentile(answers.seconds, share)) for share in (50, 99))
    rate = len(answers.seconds) / seconds
    print(
        f"{given.clients} clients, {given.workers} workers, {given.batch} images a request: "
        f"{rate:.0f} requests a second, p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    )
    for error in answers.errors[:5]:
        print(error)
    figures = {
        "seconds": seconds,
        "requests": len(answers.seconds),
        "errors": len(answers.errors),
        "requests_per_second": round(rate, 1),
        "p50_ms": round(p50, 1),
        "p99_ms": round(p99, 1),
    }
    print(json.dumps(figures))
    if answers.errors:
        sys.exit(1)


if __name__ == "__main__":
    main()
