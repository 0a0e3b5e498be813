"""The store: right whatever happens to it, and computed once."""

from __future__ import annotations

import errno
import io
import json
import mmap
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.helpers.examples import examples
from trainable.config import TrialConfig
from trainable.device import resolve_device
from trainable.finetuner import FineTuner
from trainable.store.arrays import ArrayStore, default_root
from trainable.store.chunks import Chunks
from trainable.store.description import Description
from trainable.store.entries import map_array

KEY = {"what": "test", "number": 1}
FIELDS = ("key", "dtype", "shape", "size", "chunk")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
ROWS, CHUNK = 40, 10


class Computation:
    """Gives an array in four chunks and notes which it was asked for."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.asked: list[int] = []
        self.array = torch.arange(ROWS * 25).reshape(ROWS, 5, 5).to(dtype)
        self.chunks = Chunks(ROWS, CHUNK, self.rows)

    def rows(self, start: int, stop: int) -> Tensor:
        assert stop - start == CHUNK
        self.asked.append(start)
        return self.array[start:stop]

    @property
    def times(self) -> float:
        """How often the whole array was computed."""
        return len(self.asked) / 4


@pytest.fixture
def compute() -> Computation:
    return Computation()


@pytest.fixture
def store(tmp_path: Path) -> ArrayStore:
    return ArrayStore(tmp_path / "store")


def data_of(store: ArrayStore) -> Path:
    (entry,) = store.entries()
    return entry.folder / "data"


class TestKeeping:
    @pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
    def test_what_comes_back_is_what_was_computed(
        self, store: ArrayStore, dtype: torch.dtype
    ) -> None:
        compute = Computation(dtype)
        for _ in range(3):
            found = store.get(KEY, compute.chunks)
            assert found.dtype == dtype
            assert torch.equal(found, compute.array)
        assert compute.times == 1

    def test_another_store_on_the_same_folder_finds_it(
        self, store: ArrayStore, compute: Computation
    ) -> None:
        store.get(KEY, compute.chunks)
        assert torch.equal(ArrayStore(store.root).get(KEY, compute.chunks), compute.array)
        assert compute.times == 1

    def test_every_part_of_the_key_counts(self, store: ArrayStore, compute: Computation) -> None:
        for key in (KEY, {**KEY, "number": 2}, {"what": "test"}):
            store.get(key, compute.chunks)
        assert compute.times == 3
        assert len(store.entries()) == 3

    def test_what_is_written_to_an_array_stays_in_the_process(
        self, store: ArrayStore, compute: Computation
    ) -> None:
        store.get(KEY, compute.chunks).zero_()
        assert torch.equal(ArrayStore(store.root).get(KEY, compute.chunks), compute.array)

    def test_an_array_may_be_larger_than_memory(self, tmp_path: Path) -> None:
        size = psutil.virtual_memory().total + psutil.swap_memory().total + 2**30
        with (tmp_path / "data").open("wb") as file:
            file.truncate(size)  # a hole, which takes no room
        content = Description(key={}, dtype="uint8", shape=[size], size=size, chunk=16)

        array = map_array(tmp_path / "data", content)

        assert array[-1] == 0
        array[-1] = 1
        assert (array[-1], map_array(tmp_path / "data", content)[-1]) == (1, 0)

    def test_the_folder_is_named_by_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TUNE_CACHE", "/somewhere")
        assert default_root() == Path("/somewhere")
        monkeypatch.delenv("TUNE_CACHE")
        monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
        assert default_root() == Path("/cache/resnet-tune")


def ask(root: Path, log: Path, together: Callable[[], int]) -> None:
    """What each of several processes does: wait for the others, then ask."""
    compute = Computation()

    def slowly(start: int, stop: int) -> Tensor:
        with log.open("a") as file:
            file.write(f"{start} {os.getpid()}\n")
        time.sleep(0.3)
        return compute.rows(start, stop)

    together()
    found = ArrayStore(root).get(KEY, Chunks(ROWS, CHUNK, slowly))
    assert torch.equal(found, compute.array)


def ask_at_once(count: int, root: Path, log: Path) -> list[list[str]]:
    """Let processes ask together; returns which chunk was computed by which."""
    context = multiprocessing.get_context("fork")
    together = context.Barrier(count)
    processes = [context.Process(target=ask, args=(root, log, together.wait)) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * count
    return sorted(line.split() for line in log.read_text().splitlines())


@pytest.mark.slow
def test_eight_processes_asking_at_once_compute_each_chunk_once(tmp_path: Path) -> None:
    computed = ask_at_once(8, tmp_path / "store", tmp_path / "log")
    assert [start for start, _ in computed] == ["0", "10", "20", "30"]


def test_two_processes_asking_at_once_share_the_work(tmp_path: Path) -> None:
    computed = ask_at_once(2, tmp_path / "store", tmp_path / "log")
    assert [start for start, _ in computed] == ["0", "10", "20", "30"]
    assert len({process for _, process in computed}) == 2


class TestDamage:
    """Each ends in the right array, computed again, with one warning."""

    def spoil_and_ask(
        self, store: ArrayStore, compute: Computation, spoil: Callable[[Path], None]
    ) -> None:
        store.get(KEY, compute.chunks)
        spoil(data_of(store))
        with pytest.warns(RuntimeWarning, match="damaged") as caught:
            found = ArrayStore(store.root).get(KEY, compute.chunks)
        assert len(caught) == 1
        assert torch.equal(found, compute.array)
        assert compute.times == 2
        assert torch.equal(ArrayStore(store.root).get(KEY, compute.chunks), compute.array)
        assert compute.times == 2

    def test_a_flipped_bit(self, store: ArrayStore, compute: Computation) -> None:
        def spoil(data: Path) -> None:
            content = bytearray(data.read_bytes())
            content[len(content) // 2] ^= 1
            data.write_bytes(content)

        self.spoil_and_ask(store, compute, spoil)

    def test_a_file_cut_short(self, store: ArrayStore, compute: Computation) -> None:
        self.spoil_and_ask(store, compute, lambda data: os.truncate(data, 100))

    @pytest.mark.parametrize(
        "content",
        [
            *("", "{", "{}", "[]", "null", "7", '"x"', "[" * 5000, "\\xff", "x" * 200_000),
            '{"shape": [1], "dtype": "complex64"}',
        ],
        ids=lambda content: content[:9],
    )
    def test_a_broken_description(
        self, store: ArrayStore, compute: Computation, content: str
    ) -> None:
        self.spoil_and_ask(
            store, compute, lambda data: data.with_name("entry.json").write_text(content) and None
        )

    @pytest.mark.parametrize(
        "change",
        [
            *({"shape": None}, {"shape": []}, {"shape": [40.5, 5, 5]}, {"shape": ["40", 5, 5]}),
            *({"shape": [-40, -5, 5]}, {"shape": [2**50, 5, 5]}, {"shape": [20, 10, 5]}),
            *({"size": "4000"}, {"size": 10**30}, {"size": 100}, {"dtype": ["float32"]}),
            *({"chunk": 0}, {"chunk": 20}, {"key": []}, {"key": {"what": "else"}}),
        ],
        ids=str,
    )
    def test_a_wrong_value(
        self, store: ArrayStore, compute: Computation, change: dict[str, object]
    ) -> None:
        def spoil(data: Path) -> None:
            path = data.with_name("entry.json")
            path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

        self.spoil_and_ask(store, compute, spoil)

    @pytest.mark.parametrize("length", [0, 3, 19, 21, 1000])
    def test_checksums_of_another_length(
        self, store: ArrayStore, compute: Computation, length: int
    ) -> None:
        path = "checksums"
        self.spoil_and_ask(store, compute, lambda data: os.truncate(data.with_name(path), length))

    @pytest.mark.parametrize("name", ["entry.json", "checksums", "data"])
    def test_a_file_that_is_missing(
        self, store: ArrayStore, compute: Computation, name: str
    ) -> None:
        self.spoil_and_ask(store, compute, lambda data: data.with_name(name).unlink())

    @settings(
        max_examples=examples(120), suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(values=st.dictionaries(st.sampled_from(FIELDS), JSON, min_size=1), bare=JSON)
    def test_any_description(self, tmp_path: Path, values: dict[str, object], bare: object) -> None:
        store, compute = ArrayStore(tmp_path / "fuzzed"), Computation()
        store.get(KEY, compute.chunks)
        path = data_of(store).with_name("entry.json")
        for content in (bare, {**json.loads(path.read_text()), **values}):
            path.write_text(json.dumps(content))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = ArrayStore(store.root).get(KEY, compute.chunks)
            assert torch.equal(found, compute.array)
            assert torch.equal(ArrayStore(store.root).get(KEY, compute.chunks), compute.array)

    def test_a_damaged_entry_makes_room_and_is_cleared(
        self, store: ArrayStore, compute: Computation
    ) -> None:
        store.get(KEY, compute.chunks)
        data_of(store).with_name("entry.json").write_text("[]")
        (folder,) = (path for path in store.root.iterdir() if path.is_dir())
        store.get({"what": "else"}, compute.chunks)
        assert not folder.exists()
        data_of(store).with_name("entry.json").write_text("[]")
        assert store.entries() == []
        assert store.clear() == 1


@pytest.mark.parametrize("name", ["mlruns", "photos.part", "a" * 31, "a" * 32, "a" * 32 + ".part"])
def test_what_lies_beside_the_entries_stays(
    tmp_path: Path, compute: Computation, name: str
) -> None:
    mine = tmp_path / name / "study.db"
    mine.parent.mkdir()
    mine.write_text("of a search")
    store = ArrayStore(tmp_path)
    store.get(KEY, compute.chunks)
    store.get({"what": "else"}, compute.chunks)
    assert len(store.entries()) == 2
    assert store.clear() == 2
    assert mine.read_text() == "of a search"
    assert [path.name for path in mine.parent.iterdir()] == ["study.db"]


def fill_descriptors(stack: ExitStack) -> int:
    """Open files until no number below the highest is free, whatever other tests left open.

    The limit is one of numbers: gaps among them would be files that can be opened still.
    """
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    while True:
        opened = os.open(os.devnull, os.O_RDONLY)
        stack.callback(os.close, opened)
        if opened >= highest:
            return opened


class TestPassingFaults:
    """What ails this process, or the machine for a while, harms no entry."""

    def ask(self, store: ArrayStore, compute: Computation, reason: str) -> None:
        with pytest.warns(RuntimeWarning, match=f"{reason}.*computed and not cached") as caught:
            found = ArrayStore(store.root).get(KEY, compute.chunks)
        assert len(caught) == 1
        assert torch.equal(found, compute.array)
        times = compute.times
        assert torch.equal(ArrayStore(store.root).get(KEY, compute.chunks), compute.array)
        assert compute.times == times

    @pytest.mark.parametrize("gaps", [0, 7])
    @pytest.mark.parametrize("spare", [0, 1])
    def test_no_more_open_files(
        self, store: ArrayStore, compute: Computation, spare: int, gaps: int
    ) -> None:
        store.get(KEY, compute.chunks)
        left_open = [os.open(os.devnull, os.O_RDONLY) for _ in range(2 * gaps)]
        for descriptor in left_open[:gaps]:
            os.close(descriptor)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

        def ask() -> Tensor:
            with ExitStack() as stack:
                last = fill_descriptors(stack)
                resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1 + spare, hard))
                stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
                return ArrayStore(store.root).get(KEY, compute.chunks)

        with pytest.warns(RuntimeWarning, match="Too many open files.*not cached"):
            found = ask()
        for descriptor in left_open[gaps:]:
            os.close(descriptor)
        assert torch.equal(found, compute.array)
        assert compute.times == 2
        assert torch.equal(ArrayStore(store.root).get(KEY, compute.chunks), compute.array)
        assert compute.times == 2

    @pytest.mark.parametrize("error", [errno.EACCES, errno.EMFILE, errno.EIO, errno.ENOMEM])
    @pytest.mark.parametrize("name", ["entry.json", "data", "checksums"])
    def test_a_file_that_cannot_be_opened_now(
        self,
        store: ArrayStore,
        compute: Computation,
        name: str,
        error: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        store.get(KEY, compute.chunks)
        for module, function in ((io, "open"), (os, "open")):
            real = getattr(module, function)

            def opened(path: object, *words: object, real: Any = real, **more: object) -> object:
                if Path(str(path)).name == name and remaining:
                    remaining.pop()
                    raise OSError(error, os.strerror(error))
                return real(path, *words, **more)

            monkeypatch.setattr(module, function, opened)
        remaining = [1]
        self.ask(store, compute, re.escape(os.strerror(error)))
        assert not remaining

    def test_a_mapping_that_fails(
        self, store: ArrayStore, compute: Computation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.get(KEY, compute.chunks)

        def fails(*words: object, **more: object) -> Tensor:
            monkeypatch.undo()
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

        monkeypatch.setattr(mmap, "mmap", fails)
        self.ask(store, compute, "Cannot allocate memory")

    def test_a_read_only_cache_is_read_and_said_to_be_read_only(
        self, store: ArrayStore, compute: Computation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.get(KEY, compute.chunks)
        before = sorted(store.root.rglob("*"))
        monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
        found = ArrayStore(store.root).get(KEY, compute.chunks)
        assert torch.equal(found, compute.array)
        assert compute.times == 1
        with pytest.warns(RuntimeWarning, match="the cache is read-only; .* not cached"):
            ArrayStore(store.root).get({"what": "else"}, compute.chunks)
        data_of(store).with_name("entry.json").write_text("[]")
        with pytest.warns(RuntimeWarning) as caught:
            ArrayStore(store.root).get(KEY, compute.chunks)
        assert "read-only" in str(caught[-1].message)
        assert sorted(store.root.rglob("*")) == before


KILLED = """
import os, signal, sys, torch
from pathlib import Path
from trainable.store.arrays import ArrayStore
from trainable.store.chunks import Chunks
from trainable.store.description import Description
from trainable.store.entries import map_array

def compute(start, stop):
    if start == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return torch.arange(start * 25, stop * 25, dtype=torch.float32).reshape(-1, 5, 5)

ArrayStore(Path(sys.argv[1])).get({"what": "test", "number": 1}, Chunks(40, 10, compute))
"""


def kill_while_computing(root: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(root)], check=False)
    assert killed.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_what_a_killed_process_had_computed_is_used_by_the_next(
    store: ArrayStore, compute: Computation
) -> None:
    kill_while_computing(store.root)
    assert list(store.root.glob("*.part"))
    assert store.entries() == []

    assert torch.equal(store.get(KEY, compute.chunks), compute.array)
    assert compute.asked == [20, 30]
    assert not list(store.root.glob("*.part"))


@pytest.mark.slow
def test_what_a_killed_process_had_computed_makes_room_for_other_things(
    store: ArrayStore, compute: Computation
) -> None:
    kill_while_computing(store.root)
    store.get({"what": "else"}, compute.chunks)
    assert not list(store.root.glob("*.part"))
    assert len(store.entries()) == 1


def test_a_chunk_that_a_killed_process_spoilt_is_found_out(
    store: ArrayStore, compute: Computation
) -> None:
    kill_while_computing(store.root)
    (part,) = store.root.glob("*.part")
    with (part / "data").open("r+b") as file:
        file.write(b"spoilt")
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert torch.equal(store.get(KEY, compute.chunks), compute.array)


def test_a_full_disk_ends_in_the_array_and_a_warning(
    store: ArrayStore, compute: Computation
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.warns(RuntimeWarning, match="not cached") as caught:
            found = store.get(KEY, compute.chunks)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(caught) == 1
    assert torch.equal(found, compute.array)
    assert store.entries() == []
    assert not list(store.root.glob("*.part"))


class TestCap:
    SIZE = ROWS * 25 * 4

    def fill(self, store: ArrayStore, *numbers: int) -> None:
        for number in numbers:
            store.get({"number": number}, Computation().chunks)
            time.sleep(0.01)  # the file system's clock tells uses apart

    def numbers(self, store: ArrayStore) -> list[int]:
        return sorted(entry.key["number"] for entry in store.entries())

    def test_what_was_used_longest_ago_makes_room(self, tmp_path: Path) -> None:
        store = ArrayStore(tmp_path, max_bytes=3 * self.SIZE)
        self.fill(store, 1, 2, 3)
        self.fill(store, 1)
        self.fill(store, 4)
        assert self.numbers(store) == [1, 3, 4]

    def test_what_is_in_use_stays(self, tmp_path: Path) -> None:
        store = ArrayStore(tmp_path, max_bytes=2 * self.SIZE)
        held = store.get({"number": 1}, Computation().chunks)
        self.fill(store, 2, 3)
        assert self.numbers(store) == [1, 3]
        assert store.clear() == 1
        assert torch.equal(held, Computation().array)
        del held
        assert store.clear() == 1

    def test_what_does_not_fit_beside_what_is_in_use_is_not_cached(self, tmp_path: Path) -> None:
        store = ArrayStore(tmp_path, max_bytes=3 * self.SIZE - 1)
        self.fill(store, 0)
        held = [store.get({"number": number}, Computation().chunks) for number in (1, 2)]
        with pytest.warns(RuntimeWarning, match="does not fit beside what is in use"):
            found = store.get({"number": 3}, Computation().chunks)
        assert torch.equal(found, Computation().array)
        assert self.numbers(store) == [1, 2]
        del held
        self.fill(store, 3)
        assert 3 in self.numbers(store)

    def test_what_can_not_fit_anyway_drives_out_nothing(self, tmp_path: Path) -> None:
        store = ArrayStore(tmp_path, max_bytes=2 * self.SIZE)
        held = store.get({"number": 1}, Computation().chunks)
        self.fill(store, 2)
        large = Chunks(2 * ROWS, CHUNK, lambda start, stop: torch.ones(stop - start, 5, 5))
        with pytest.warns(RuntimeWarning, match="does not fit"):
            store.get({"number": 3}, large)
        assert self.numbers(store) == [1, 2]
        del held

    def test_what_is_being_written_counts_in_full(self, tmp_path: Path) -> None:
        """Another store writes between the first and the second chunk of one that is in work."""
        store = ArrayStore(tmp_path, max_bytes=2 * self.SIZE - 1)
        compute = Computation()

        def rows(start: int, stop: int) -> Tensor:
            if start == CHUNK:
                with pytest.warns(RuntimeWarning, match="does not fit beside what is in use"):
                    ArrayStore(tmp_path, store.max_bytes).get({"number": 2}, Computation().chunks)
            return compute.rows(start, stop)

        store.get({"number": 1}, Chunks(ROWS, CHUNK, rows))
        assert self.numbers(store) == [1]
        assert compute.times == 1

    def test_an_array_over_the_cap_is_computed_and_not_cached(self, tmp_path: Path) -> None:
        store, compute = ArrayStore(tmp_path, max_bytes=self.SIZE - 1), Computation()
        with pytest.warns(RuntimeWarning, match="over the cap"):
            found = store.get(KEY, compute.chunks)
        assert torch.equal(found, compute.array)
        assert store.entries() == []


@pytest.mark.nightly
@settings(max_examples=examples(6), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    policy=st.sampled_from(["none", "flip", "flip_crop", "trivial", "rand"]),
    depth=st.integers(0, 5),
    mixup=st.sampled_from([0.0, 0.4]),
    cutmix=st.sampled_from([0.0, 1.0]),
    precision=st.sampled_from(["fp32", "bf16"]),
)
def test_a_trial_is_the_same_without_with_a_cold_and_with_a_warm_store(
    tmp_path: Path, policy: str, depth: int, mixup: float, cutmix: float, precision: str
) -> None:
    config = TrialConfig.model_validate(
        {
            "data": {"image_size": 16, "limit": 100, "mirror": True},
            "model": {"weights": "random", "unfreeze_depth": depth},
            "augment": {"policy": policy, "mixup": mixup, "cutmix": cutmix, "num_views": 2},
            "train": {"epochs": 3, "batch_size": 32, "precision": precision},
        }
    )
    device = resolve_device(config.train.precision, 1)
    store = ArrayStore(tmp_path / "store")

    def metrics(store: ArrayStore | None) -> list[dict[str, float]]:
        tuner = FineTuner(config, device, store)
        epochs = [tuner.train_epoch() for _ in range(3)]
        epochs.append({"test": tuner.evaluate("test").loss})
        return [{k: v for k, v in epoch.items() if k != "epoch_seconds"} for epoch in epochs]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        without, cold, warm = metrics(None), metrics(store), metrics(store)
    assert without == cold == warm
    assert store.entries()
