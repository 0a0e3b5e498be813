"""Many photographs: time to the first batch, decoding beside PIL, memory, an epoch of reading.

    python benchmarks/scale_of_data.py --images 5000     # 20000, 100000
    python benchmarks/scale_of_data.py --quick           # 1,000
    python benchmarks/scale_of_data.py --images 100000 --search    # and a search on them
    python benchmarks/scale_of_data.py --images 60000 --width 64 --px 28    # files, not pixels

Synthetic photographs of 500 x 375 pixels (JPEG, ten classes) are made on the spot and loaded at 224
px, by a new process each time: cold, into an empty store, and warm. Seconds are those from the
start of the process to the first batch of 32, imports included. Memory is what the system counts
as the process's own (RssAnon), at most, while it loads and then reads every image once; mapped
pages are not in it, and can be dropped at any time. Beside it: PIL's decoding and resizing alone,
in as many processes as there are CPUs, and torchvision's ImageFolder with a DataLoader of as many
workers, which decode again in every epoch; of many photographs both read the first 10,000.

`--search` runs `tune.search` on the photographs: two trials of one epoch at 64 px, into an empty
store. The memory is that of its driver and workers, of each the most at any time.

`over_pil` is our images a second of decoding over PIL's; `cold_over_pil` those of the whole cold
start but for imports: hashing, duplicates, split and fingerprint included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

START: Final = time.perf_counter()
REPOSITORY: Final = Path(__file__).parent.parent
CPUS: Final = os.cpu_count() or 1
CLASSES, BATCH = 10, 32
SAMPLE: Final = 10_000
"""How many photographs the plain sides decode: their rate does not depend on how many there are."""
SEARCH: Final = (
    *("tune.search", "--config", "image_folder", "--num-samples", "2", "--name", "many"),
    *("data.image_size=64", "train.epochs=1", "confirm.top_k=0", "model.weights=random"),
    "space.model.unfreeze_depth=[0,1]",
)


def main() -> None:
    """Measure all sides on the same files, and print one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--quick", action="store_true", help="1,000 images")
    parser.add_argument("--width", type=int, default=500, help="of a photograph, in pixels")
    parser.add_argument("--px", type=int, default=224, help="data.image_size")
    parser.add_argument("--search", action="store_true", help="also search on them, at 64 px")
    parser.add_argument("--folder", type=Path, help="of files and store (default: a new one)")
    parser.add_argument("--child", choices=("ours", "torchvision"), help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure = ours if options.child == "ours" else torchvision_side
        print(json.dumps(measure(options.root, options.px)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        count = 1000 if options.quick else options.images
        found = compare(Path(name), count, options.width, options.px)
        more = searched(Path(name)) if options.search else {}
        print(json.dumps({**found, **more}))


def compare(root: Path, count: int, width: int, px: int) -> dict[str, Any]:
    """Make the photographs, load them every way, and return what was measured."""
    from searches import versions

    print(f"{CPUS} CPUs, {versions()}", flush=True)
    make, decode = partial(photograph, root, width), partial(pil, side_of(px))
    with ProcessPoolExecutor(CPUS) as pool:
        seconds = timed(lambda: list(pool.map(make, range(count), chunksize=50)))
        print(f"{count:,} photographs made in {seconds:.0f} s", flush=True)
        paths = sorted((root / "photos").glob("*/*.jpg"))
        list(pool.map(decode, paths[: 8 * CPUS]))  # which starts the processes
        few = paths[:: -(-count // SAMPLE)]
        rate = len(few) / timed(lambda: list(pool.map(decode, few, chunksize=50)))
    cold, warm = child("ours", root, px), child("ours", root, px)
    plain = child("torchvision", root, px)
    print(f"PIL in {CPUS} processes: {rate:.0f} images a second")
    for name, side in (("cold", cold), ("warm", warm), ("torchvision", plain)):
        print(f"{name}: {json.dumps(side)}")
    return {
        "images": count,
        "cold_seconds": cold["first_batch"],
        "warm_seconds": warm["first_batch"],
        "imports_seconds": warm["imports"],
        "peak_gb": max(cold["peak_gb"], warm["peak_gb"]),
        "over_pil": round(cold["decoding"] / rate, 2),
        "cold_over_pil": round(count / (cold["first_batch"] - cold["imports"]) / rate, 2),
        "epoch_rate": warm["epoch_rate"],
        "torchvision_epoch_rate": plain["epoch_rate"],
        "torchvision_first_batch": plain["first_batch"],
    }


def searched(root: Path) -> dict[str, Any]:
    """Seconds and memory of a search on the photographs, which is looked at while it runs."""
    import psutil

    folder = root / "search"
    folder.mkdir()
    words = [sys.executable, "-m", *SEARCH, f"data.root={root / 'photos'}"]
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TUNE_CACHE": str(root / "cache")}
    start, most = time.perf_counter(), dict[str, float]()
    with (folder / "log").open("w") as log:
        process = psutil.Popen(words, cwd=folder, env=variables, stdout=log, stderr=log)
        while process.poll() is None:
            note_memory(process, most)
            time.sleep(0.5)
    print((folder / "log").read_text(), flush=True)
    if process.returncode:
        raise SystemExit(f"the search ended with {process.returncode}")
    seconds = round(time.perf_counter() - start, 1)
    return {"search_seconds": seconds, **{f"search_{name}_gb": gb for name, gb in most.items()}}


def note_memory(process: Any, most: dict[str, float]) -> None:
    """Note the memory of a driver, and of the largest of its trials, where it is the most."""
    import psutil

    for each in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error, OSError, StopIteration):
            is_trial = "ray::" in " ".join(each.cmdline())
            role = "driver" if each.pid == process.pid else "worker" if is_trial else None
            if role is not None:
                most[role] = max(most.get(role, 0.0), own_gb(each.pid))


def ours(root: Path, px: int) -> dict[str, Any]:
    """Load the photographs as any command does, and then read all of them."""
    with peak() as most:
        import numpy as np

        from trainable.augment.views import Views
        from trainable.config import DataConfig
        from trainable.data.datasets import load_dataset
        from trainable.data.decoding import files
        from trainable.runtime import ImageCache

        imports, spent = time.perf_counter() - START, [0.0]
        stored = files.Files._stored

        def timed_decoding(self: Any, store: Any, side: int) -> Any:
            start = time.perf_counter()
            found = stored(self, store, side)
            spent[0] += time.perf_counter() - start
            return found

        files.Files._stored = timed_decoding  # type: ignore[method-assign]
        config = DataConfig(source="image_folder", root=root / "photos", image_size=px)
        dataset = load_dataset(config, ImageCache(str(root / "store")))
        images = dataset.train.images
        order = np.random.default_rng(0).permutation(len(images))
        assert images[order[:BATCH]].shape == (BATCH, 3, side_of(px), side_of(px))
        first = time.perf_counter() - START
        total = sum(len(dataset.split(name)) for name in ("train", "val", "test"))
        start = time.perf_counter()
        views = Views(images, dataset.fingerprint, "none", px)
        for row in range(0, len(images), 128):
            views.render(0, row, min(row + 128, len(images)))
        rate = len(images) / (time.perf_counter() - start)
    return {
        "imports": round(imports, 2),
        "first_batch": round(first, 2),
        "decoding": round(total / spent[0], 1),
        "epoch_rate": round(rate, 1),
        "peak_gb": round(most[0], 3),
        "fingerprint": dataset.fingerprint[:8],
    }


def torchvision_side(root: Path, px: int) -> dict[str, Any]:
    """The same with ImageFolder and a DataLoader: an epoch, decoded by its workers."""
    import torch
    import torchvision.transforms.v2 as T
    from torch.utils.data import DataLoader, Subset
    from torchvision.datasets import ImageFolder

    steps = [T.Resize(side_of(px)), T.CenterCrop(px), T.ToImage(), T.ToDtype(torch.uint8)]
    folder = ImageFolder(root / "photos", T.Compose(steps))
    few = Subset(folder, range(0, len(folder), -(-len(folder) // SAMPLE)))
    loader = DataLoader(few, BATCH, shuffle=True, num_workers=CPUS)
    first, start = 0.0, time.perf_counter()
    for _ in loader:
        first = first or time.perf_counter() - START
    rate = len(few) / (time.perf_counter() - start)
    return {"first_batch": round(first, 2), "epoch_rate": round(rate, 1)}


def child(side: str, root: Path, px: int) -> dict[str, Any]:
    """What a new process measures of a side."""
    words = [sys.executable, __file__, "--child", side, "--root", str(root), "--px", str(px)]
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": str(CPUS)}
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def photograph(root: Path, width: int, number: int) -> None:
    """Write a photograph: broad shapes, edges and grain of their own."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(number)
    broad = Image.fromarray(draw.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    fine = Image.fromarray(draw.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    size = (width, 3 * width // 4)
    mixed = Image.blend(broad.resize(size), fine.resize(size, Image.Resampling.BILINEAR), 0.3)
    grain = draw.normal(0, 4, (size[1], size[0], 1))
    pixels = (np.asarray(mixed) + grain).clip(0, 255).astype(np.uint8)
    path = root / "photos" / f"class {number % CLASSES}" / f"{number:06}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=88)


def pil(side: int, path: Path) -> int:
    """Decode and resize an image as a plain program does."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        image.draft("RGB", (2 * side, 2 * side))
        square = ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.BILINEAR)
    return square.width


def side_of(px: int) -> int:
    """The side at which photographs are stored for a network that sees so many pixels."""
    return round(px * 8 / 7)


def timed(work: Any) -> float:
    """The seconds that something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@contextmanager
def peak() -> Iterator[list[float]]:
    """The most memory of its own that this process has while it is open, in GB."""
    most, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            most[0] = max(most[0], own_gb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()


def own_gb(pid: int | str = "self") -> float:
    """The memory of its own that a process has, in GB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 10**6


if __name__ == "__main__":
    main()
