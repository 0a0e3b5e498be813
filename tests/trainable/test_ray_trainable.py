"""The trial as Ray drives it, in this process and without a cluster."""

from __future__ import annotations

import errno
import re
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import pytest
import ray
import torch
from ray.tune.trainable import trainable as ray_trainable
from torchvision.models import resnet18

from trainable.checkpoints import BEST, LAST
from trainable.config import TrialConfig
from trainable.data.datasets import load_dataset
from trainable.data.forms.remote import DataAwayError
from trainable.device import CONTEXT_BYTES, Device, release_memory, resolve_device
from trainable.finetuner import FineTuner
from trainable.judging.objective import Objective
from trainable.network.cut_network import CutNetwork
from trainable.network.weights import first_weights_hash, save_weights
from trainable.ray_trainable import FineTuneTrainable, TrialSpec, why_no_data
from trainable.runtime import ImageCache

LEARNT = ("train_loss", "train_acc", "val_loss", "val_acc")


def spec(trial: TrialConfig, folder: Path, memory_fraction: float | None = None) -> TrialSpec:
    return TrialSpec(
        number=0,
        trial=trial.model_dump(mode="json"),
        folder=str(folder),
        runtime={"threads": 1, "memory_fraction": memory_fraction},
    )


def learnt(result: dict[str, Any]) -> dict[str, float]:
    return {name: result[name] for name in LEARNT}


def steps(trainable: FineTuneTrainable, count: int) -> list[dict[str, Any]]:
    return [trainable.train() for _ in range(count)]


@pytest.fixture
def start(
    tiny: Callable[..., TrialConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., FineTuneTrainable]]:
    """Start a small trial, its sections changed by keyword, in a folder of its own."""
    monkeypatch.setattr(ray_trainable, "DEFAULT_STORAGE_PATH", str(tmp_path / "ray"))
    started: list[FineTuneTrainable] = []

    def make(folder: Path | None = None, **sections: Any) -> FineTuneTrainable:
        folder = folder or tmp_path / f"trial-{len(started)}"
        started.append(FineTuneTrainable(config=dict(spec(tiny(**sections), folder))))
        return started[-1]

    yield make
    for trainable in started:
        trainable.stop()


def test_a_step_is_an_epoch_of_the_trial(
    start: Callable[..., FineTuneTrainable], tiny: Callable[..., TrialConfig], device: Device
) -> None:
    trainable, tuner = start(), FineTuner(tiny(), device)

    for epoch in (1, 2, 3):
        result = trainable.train()
        assert learnt(result) == learnt(tuner.train_epoch())
        assert result["epoch"] == epoch
    assert not ray.is_initialized()


def test_a_trial_does_not_go_on_from_the_checkpoint_of_another(
    start: Callable[..., FineTuneTrainable], tmp_path: Path
) -> None:
    """As where a folder is left of a search whose study is gone."""
    folder = tmp_path / "shared"
    start(folder).train()
    assert start(folder).train()["epoch"] == 1  # the same again is reported once more
    with pytest.warns(UserWarning, match="another config"):
        other = start(folder, optim={"lr": 0.02})
    result = other.train()
    assert result["epoch"] == 1
    assert learnt(result) == learnt(start(optim={"lr": 0.02}).train())


def test_a_result_tells_what_the_device_resolved_to(
    start: Callable[..., FineTuneTrainable],
) -> None:
    result = start().train()

    assert (result["device"], result["precision"], result["threads"]) == ("cpu", "fp32", 1)
    assert result["epoch_seconds"] > 0


def with_fingerprint(trial: TrialConfig, folder: Path, fingerprint: str) -> dict[str, Any]:
    return {**spec(trial, folder), "fingerprint": fingerprint}


def changed(root: Path) -> None:
    (root / "ants" / "003.png").unlink()


def broken(root: Path) -> None:
    (root / "ants" / "003.png").write_bytes(b"no image")


@pytest.mark.usefixtures("no_cached_data")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed, r"data\.root=.*photos on .*: these are not the images, .* put them back as they"),
        (broken, r"cannot read the images of the search: .*003\.png cannot be read"),
        (shutil.rmtree, r"cannot read the images of the search: data\.root=.* is not a folder"),
    ],
)
def test_where_the_images_have_changed_there_is_no_score(
    change: Callable[[Path], None],
    message: str,
    tiny: Callable[..., TrialConfig],
    write_classes: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_trainable, "DEFAULT_STORAGE_PATH", str(tmp_path / "ray"))
    root = write_classes(tmp_path / "photos", {"ants": 40, "bees": 40})
    trial = tiny(data={"source": "image_folder", "root": root, "limit": None})
    fingerprint = load_dataset(trial.data).fingerprint
    before = FineTuneTrainable(config=with_fingerprint(trial, tmp_path / "a", fingerprint))
    assert before.train()["epoch"] == 1
    change(root)
    assert before.train()["epoch"] == 2  # it has them in memory as they were
    load_dataset.cache_clear()

    before.reset(with_fingerprint(trial, tmp_path / "b", fingerprint))
    result = before.train()

    assert result["done"]
    assert re.search(message, result["halt"])
    assert "val_acc" not in result
    before.stop()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: save_weights(resnet18(num_classes=3).state_dict(), path), "are not the weig"),
        (lambda path: path.unlink(), "cannot read the weights of the search: model.weights="),
    ],
)
def test_a_node_with_other_weights_than_the_searchs_stops_it(
    change: Callable[[Path], None],
    message: str,
    tiny: Callable[..., TrialConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_trainable, "DEFAULT_STORAGE_PATH", str(tmp_path / "ray"))
    weights = tmp_path / "first.safetensors"
    save_weights(resnet18(num_classes=3).state_dict(), weights)
    trial = tiny(model={"weights": str(weights)})
    known = {"weights_hash": first_weights_hash(str(weights), "resnet18")}
    trainable = FineTuneTrainable(config={**spec(trial, tmp_path / "a"), **known})
    assert trainable.train()["epoch"] == 1
    change(weights)

    trainable.reset({**spec(trial, tmp_path / "b"), **known})
    result = trainable.train()

    assert result["done"]
    assert message in result["halt"]
    trainable.stop()


def test_where_the_weights_cannot_be_downloaded_now_the_trial_fails_and_halts_no_other(
    tiny: Callable[..., TrialConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_trainable, "DEFAULT_STORAGE_PATH", str(tmp_path / "ray"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def away(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("trainable.network.published.load_state_dict_from_url", away)
    trial = tiny(model={"weights": "imagenet"})
    known = {**spec(trial, tmp_path / "a"), "weights_hash": "0" * 64}
    trainable = FineTuneTrainable(config=known)
    with pytest.raises(
        DataAwayError, match=r"on \S+, model\.weights=imagenet cannot be read: .*rou"
    ):
        trainable.train()
    trainable.stop()


@pytest.mark.usefixtures("no_cached_data")
def test_where_the_images_cannot_be_fetched_now_the_trial_fails_and_halts_no_other(
    tiny: Callable[..., TrialConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_trainable, "DEFAULT_STORAGE_PATH", str(tmp_path / "ray"))
    trial = tiny(data={"source": "image_folder", "root": "memory://photos", "limit": None})

    def away(*_: object) -> None:
        raise DataAwayError("data.root=memory://photos cannot be fetched")

    monkeypatch.setattr("trainable.ray_trainable.load_dataset", away)
    trainable = FineTuneTrainable(config=with_fingerprint(trial, tmp_path / "a", "any"))
    with pytest.raises(DataAwayError, match=r"on \S+, data\.root=memory://photos cannot be"):
        trainable.train()
    trainable.stop()
    with pytest.raises(DataAwayError):  # a node that is asked has no answer then
        why_no_data(trial.data, ImageCache(None, 0), "any")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "does not see the search's files in .*: mount that folder there, take that node"),
        (b'{"search": "other"}', "has the files of another search of this name, as .* sees it"),
        (b'{"name": "one", "identity": "other"}', "has the files of another search"),
        (b'{"sea', r"cannot read .*whose\.json"),
        (b'{"search": "own"}', None),
        (b'{"name": "one", "identity": "own"}', None),
    ],
)
def test_a_node_without_the_searchs_own_files_says_so_and_writes_nothing(
    content: bytes | None,
    told: str | None,
    tiny: Callable[..., TrialConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_trainable, "DEFAULT_STORAGE_PATH", str(tmp_path / "ray"))
    home = tmp_path / "home"
    if content is not None:
        home.mkdir()
        (home / "whose.json").write_bytes(content)
    owned = {**spec(tiny(), home / "trial-000"), "owner": "whose.json", "search": "own"}
    trainable = FineTuneTrainable(config=owned)
    result = trainable.train()
    trainable.stop()
    if told is None:
        assert result["epoch"] == 1
    else:
        assert re.search(told, result["halt"])
        assert not (home / "trial-000").exists()


def test_what_a_worker_wrote_that_was_given_up_is_gone_on_from_to_the_same_end(
    start: Callable[..., FineTuneTrainable], tmp_path: Path
) -> None:
    """Its only step ends after the epochs of the one that has taken the trial over."""
    whole = steps(start(tmp_path / "whole", train={"epochs": 4}), 4)
    shared = tmp_path / "shared"
    lost = start(shared, train={"epochs": 4})
    steps(lost, 1)
    steps(start(shared, train={"epochs": 4}), 3)  # the first of these is the other's, once more
    lost.train()  # epoch 2, over the third
    again = steps(start(shared, train={"epochs": 4}), 3)
    assert [result["epoch"] for result in again] == [2, 3, 4]
    assert list(map(learnt, again)) == list(map(learnt, whole[1:]))


def test_a_trial_is_done_at_its_last_epoch(start: Callable[..., FineTuneTrainable]) -> None:
    results = steps(start(), 3)

    assert [result["finished"] for result in results] == [False, False, True]
    assert [result["done"] for result in results] == [False, False, True]


def test_a_trial_is_done_when_early_stopping_says_so(
    start: Callable[..., FineTuneTrainable],
) -> None:
    trainable = start(
        optim={"lr": 0.5},
        schedule={"name": "constant"},
        train={"epochs": 100, "early_stopping": 1},
    )

    results = [trainable.train()]
    while not results[-1]["done"]:
        results.append(trainable.train())

    assert len(results) < 100
    assert results[-1]["val_loss"] >= results[-2]["val_loss"]


def test_a_trial_goes_on_from_its_folder_as_if_uninterrupted(
    start: Callable[..., FineTuneTrainable], tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"data": {"limit": 100}, "model": {"unfreeze_depth": 1}}
    expected = steps(start(**changes), 3)
    first = start(tmp_path / "same", **changes)
    first.train()

    again = start(tmp_path / "same", **changes)

    # The last epoch's result is told again: it may not have been heard.
    for result, wanted in zip(steps(again, 3), expected, strict=True):
        assert learnt(result) == learnt(wanted)
        assert (result["epoch"], result["done"]) == (wanted["epoch"], wanted["done"])


def test_a_trial_that_had_finished_only_tells_its_end(
    start: Callable[..., FineTuneTrainable], tmp_path: Path
) -> None:
    last = steps(start(tmp_path / "same"), 3)[-1]
    result = start(tmp_path / "same").train()
    assert result["done"]
    assert learnt(result) == learnt(last)


def test_the_best_epoch_so_far_is_kept(
    start: Callable[..., FineTuneTrainable], tmp_path: Path
) -> None:
    trainable = start(
        tmp_path / "trial",
        optim={"lr": 0.05},
        schedule={"name": "constant"},
        train={"epochs": 6},
    )
    results: list[dict[str, Any]] = []
    for _ in range(6):
        results.append(trainable.train())
        best = max(results, key=Objective.named("val_acc").rank)
        epochs = [
            torch.load(tmp_path / "trial" / name, weights_only=True)["tuner"]["epoch"]
            for name in (BEST, LAST)
        ]
        assert epochs == [best["epoch"], len(results)]
    assert sorted(path.name for path in (tmp_path / "trial").iterdir()) == [BEST, LAST]


def test_without_validation_images_the_last_epoch_is_kept_as_the_best(
    start: Callable[..., FineTuneTrainable], tmp_path: Path
) -> None:
    folder, data = tmp_path / "all", {"fold": "all"}
    train, optim = {"epochs": 5, "stop_after": 2}, {"lr": 10.0}  # which makes it worse each time
    found = steps(start(folder, data=data, train=train, optim=optim), 2)
    assert [result["finished"] for result in found] == [False, True]
    assert torch.load(folder / BEST, weights_only=True)["tuner"]["epoch"] == 2


def test_the_images_of_a_fold_are_those_of_its_search(
    tiny: Callable[..., TrialConfig], tmp_path: Path
) -> None:
    config = tiny(data={"fold": "1/3"})
    known = spec(config, tmp_path) | {"fingerprint": load_dataset(config.data.unfolded).fingerprint}
    trainable = FineTuneTrainable(config=dict(known))
    assert "halt" not in trainable.step()
    trainable.reset_config({**known, "fingerprint": "of others"})
    assert "these are not the images" in trainable.step()["halt"]


@pytest.mark.slow
def test_a_trial_in_a_reused_process_equals_one_in_a_fresh_process(
    start: Callable[..., FineTuneTrainable], tiny: Callable[..., TrialConfig], tmp_path: Path
) -> None:
    changes: dict[str, Any] = {
        "data": {"limit": 100},
        "model": {"unfreeze_depth": 1},
        "optim": {"name": "sgd"},
    }
    reused, fresh = start(augment={"policy": "trivial"}), start(**changes)
    reused.train()

    assert reused.reset(dict(spec(tiny(**changes), tmp_path / "reused")))

    for expected, result in zip(steps(fresh, 2), steps(reused, 2), strict=True):
        assert learnt(result) == learnt(expected)
        assert result["epoch"] == expected["epoch"]


def test_a_reset_says_that_it_worked(
    start: Callable[..., FineTuneTrainable], tiny: Callable[..., TrialConfig], tmp_path: Path
) -> None:
    assert start().reset_config(dict(spec(tiny(train={"seed": 1}), tmp_path / "other"))) is True


def test_a_trial_that_diverges_has_no_result(start: Callable[..., FineTuneTrainable]) -> None:
    trainable = start(
        optim={"name": "sgd", "lr": 100, "weight_decay": 10},
        schedule={"name": "constant"},
        train={"epochs": 50},
    )

    result = trainable.train()
    while not result["done"]:
        result = trainable.train()

    assert result["error"].startswith("DivergedError: epoch ")
    assert "val_acc" not in result


def test_a_spec_that_is_no_trial_is_refused(start: Callable[..., FineTuneTrainable]) -> None:
    broken = {
        "number": 0,
        "trial": {"optim": {"lr": -1}},
        "folder": "",
        "runtime": {},
    }

    with pytest.raises(ValueError, match=r"optim\.lr"):
        FineTuneTrainable(config=broken)


@pytest.fixture
def room_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let a device have memory for so many training images at once.

    A process whose address space is limited does not do: where oneDNN gets no memory, the process
    may end.
    """
    build = FineTuner._build_network

    def limit(images: int) -> None:
        def refuse(module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
            if module.training and len(inputs[0]) > images:
                raise torch.OutOfMemoryError("tried to allocate 8.00 GiB")

        def limited(tuner: FineTuner) -> CutNetwork:
            network = build(tuner)
            network.tail.register_forward_pre_hook(refuse)
            return network

        monkeypatch.setattr(FineTuner, "_build_network", limited)

    return limit


def test_out_of_memory_the_batches_come_in_two_parts(
    start: Callable[..., FineTuneTrainable], room_for: Callable[[int], None], tmp_path: Path
) -> None:
    whole = steps(start(), 3)
    room_for(16)
    halves = steps(start(tmp_path / "halves"), 3)
    assert [result["micro_batches"] for result in halves] == [2, 2, 2]
    for found, expected in zip(halves, whole, strict=True):
        assert learnt(found) == pytest.approx(learnt(expected), abs=1e-5)


def test_out_of_memory_later_on_goes_on_from_the_last_epoch_and_stays_in_parts(
    start: Callable[..., FineTuneTrainable], room_for: Callable[[int], None], tmp_path: Path
) -> None:
    first = start(tmp_path / "trial").train()
    room_for(16)
    results = steps(start(tmp_path / "trial"), 2)
    assert [result["micro_batches"] for result in results] == [1, 2]
    assert learnt(results[0]) == learnt(first)
    assert results[1]["epoch"] == 2
    assert start(tmp_path / "trial").train()["micro_batches"] == 2


def test_out_of_memory_even_so_the_trial_fails_and_has_no_score(
    start: Callable[..., FineTuneTrainable], room_for: Callable[[int], None]
) -> None:
    room_for(8)
    result = start().train()
    assert result["error"].startswith(
        "OutOfMemoryError: even with batches in two parts: tried to allocate"
    )
    assert result["done"]
    assert "val_acc" not in result


@pytest.fixture
def run_on_share(
    tiny: Callable[..., TrialConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[float], dict[str, Any]]]:
    """An epoch of a large trial on so much of a GPU's memory, over what its tensors need."""
    monkeypatch.setattr(ray_trainable, "DEFAULT_STORAGE_PATH", str(tmp_path / "ray"))
    config = tiny(
        data={"image_size": 224},
        model={"unfreeze_depth": 5},
        train={"batch_size": 160, "precision": "bf16"},
    )
    torch.cuda.reset_peak_memory_stats()
    FineTuner(config, resolve_device("bf16")).train_epoch()
    peak = torch.cuda.max_memory_allocated()
    total = torch.cuda.get_device_properties(0).total_memory

    def run(share_of_peak: float) -> dict[str, Any]:
        release_memory()
        fraction = (share_of_peak * peak + CONTEXT_BYTES) / total
        trainable = FineTuneTrainable(config=dict(spec(config, tmp_path / "trial", fraction)))
        result: dict[str, Any] = trainable.train()
        trainable.stop()
        return result

    yield run
    torch.cuda.set_per_process_memory_fraction(1.0)
    release_memory()


@pytest.mark.gpu
@pytest.mark.parametrize(("share_of_peak", "parts"), [(1.3, 1), (0.8, 2)])
def test_on_a_share_of_a_gpu_that_is_too_small_the_batches_come_in_two_parts(
    share_of_peak: float, parts: int, run_on_share: Callable[[float], dict[str, Any]]
) -> None:
    result = run_on_share(share_of_peak)

    assert result["device"] == "cuda"
    assert result["micro_batches"] == parts


@pytest.mark.gpu
def test_on_a_share_that_is_far_too_small_a_trial_fails_and_says_why(
    run_on_share: Callable[[float], dict[str, Any]],
) -> None:
    result = run_on_share(0.1)

    assert re.match(
        r"OutOfMemoryError: even with batches in two parts and 0\.\d+ of the GPU's memory: CUDA",
        result["error"],
    )
    assert result["done"]


def test_a_full_disk_is_no_fault_of_the_trial(
    start: Callable[..., FineTuneTrainable], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainable = start()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(
        "trainable.checkpoints.errno", SimpleNamespace(ENOSPC=errno.EFBIG, EDQUOT=errno.EDQUOT)
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        result = trainable.step()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result["halt"].startswith("no space is left for checkpoints in ")
    assert result["done"]
