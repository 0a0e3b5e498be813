from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from optuna.trial import TrialState
from PIL import Image
from rich.console import Console
from torchvision.models import ResNet18_Weights, ResNet34_Weights, resnet18, resnet34

from tests.helpers.commands import DIGITS
from tests.helpers.networks import random_state
from tests.helpers.studies import reported
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.splitting.folding import fold_of
from tune.base.errors import ConfigError
from tune.config.loading import check_files, load_config
from tune.engine.preflight import _folds, check_unchanged, choose_points, resolve, say_refit
from tune.strategy.portfolio import open_search
from tune.study.fingerprints import hash_of, hash_of_arch
from tune.study.search import Search
from tune.study.trial import Decision


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label, shade in (("ants", 50), ("bees", 200)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(10):
            pixels = np.full((8, 8, 3), shade + number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
    return tmp_path / "photos"


def begun(photos: Path, *words: str) -> Search:
    """A search, as it is resolved by a process of its own."""
    load_dataset.cache_clear()
    source = ["data.source=image_folder", f"data.root={photos}", "data.image_size=16"]
    config = load_config(DIGITS, [*source, "model.weights=random", *words])
    return resolve(config, "one", Console(file=io.StringIO()))


def test_what_is_as_it_was_goes_on(photos: Path) -> None:
    before, now = begun(photos), begun(photos)
    check_unchanged(before, now)
    assert now.data_fingerprint == before.data_fingerprint


def test_what_a_table_says_of_its_images_is_told(photos: Path) -> None:
    load_dataset.cache_clear()
    rows = [
        f"{label}/{n}.png,{label},{label}{n // 2}" for label in ("ants", "bees") for n in range(10)
    ]
    table, shown = photos / "labels.csv", io.StringIO()
    table.write_text("\n".join(["path,label,patient", *rows, rows[0]]))
    source = ["data.source=table", f"data.root={table}", "data.group=patient", "data.image_size=16"]

    config = load_config(DIGITS, [*source, "model.weights=random"])
    search = resolve(config, "one", Console(file=shown, width=200))

    assert search.config.data.group == "patient"
    assert "data     table: " in shown.getvalue()
    assert "10 groups of 2 images, each of which stays in one split" in shown.getvalue()
    assert "left out: rows that say the same of a file again: 1" in shown.getvalue()


def test_an_image_that_has_changed_is_told(photos: Path) -> None:
    before = begun(photos)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(photos / "ants" / "3.png")
    with pytest.raises(ConfigError, match="search one: its data have changed since"):
        check_unchanged(before, begun(photos))


def test_an_image_that_is_gone_is_told(photos: Path) -> None:
    before = begun(photos)
    (photos / "bees" / "9.png").unlink()
    with pytest.raises(ConfigError, match="its data have changed"):
        check_unchanged(before, begun(photos))


def test_weights_that_have_changed_are_told(photos: Path, tmp_path: Path) -> None:
    path, word = tmp_path / "w.pt", f"model.weights={tmp_path / 'w.pt'}"
    torch.save(random_state(), path)
    before = begun(photos, word)
    torch.save(random_state(seed=1), path)
    with pytest.raises(ConfigError, match="its weights have changed"):
        check_unchanged(before, begun(photos, word))


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (resnet34().state_dict(), "is of another network"),
        ({"model": 3}, "is not a state dict"),
        ({k: v for k, v in random_state().items() if "layer4" not in k}, "lacks layer4"),
        ({"fc.weight": torch.zeros(3, 512)}, "lacks conv1"),
        (print, "is refused"),
    ],
    ids=["resnet34", "no state dict", "to layer3", "only a head", "code"],
)
def test_weights_that_do_not_fit_are_told_before_any_trial(
    state: Any, told: str, photos: Path, tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(ConfigError, match=told):
        begun(photos, f"model.weights={tmp_path / 'w.pt'}")


def test_a_head_that_starts_from_features_needs_all_layers(photos: Path, tmp_path: Path) -> None:
    state = {k: v for k, v in random_state().items() if "layer4" not in k}
    torch.save(state, tmp_path / "w.pt")
    words = [f"model.weights={tmp_path / 'w.pt'}", "space.model.unfreeze_depth=[2]"]
    assert begun(photos, *words).weights_hash
    with pytest.raises(ConfigError, match=r"model\.head=probe takes .* lacks layer4"):
        begun(photos, *words, "space.model.head=[random, probe]")


def test_weights_of_other_classes_are_taken_for_their_backbone(
    photos: Path, tmp_path: Path
) -> None:
    torch.save(random_state(7), tmp_path / "w.pt")
    assert begun(photos, f"model.weights={tmp_path / 'w.pt'}").weights_hash


def test_of_a_list_the_first_is_taken_that_every_architecture_has(photos: Path) -> None:
    archs = "space.model.arch=[resnet18, resnet34]"
    search = begun(photos, archs, "model.weights=[bundled, random]")
    assert search.config.model.weights == ("random",)
    assert search.weights_hash is None


def test_a_file_that_fits_one_of_the_architectures_is_refused(photos: Path, tmp_path: Path) -> None:
    torch.save(resnet34().state_dict(), tmp_path / "w.pt")
    words = [f"model.weights={tmp_path / 'w.pt'}", "space.model.arch=[resnet34, resnet18]"]
    with pytest.raises(ConfigError, match="is of another network"):
        begun(photos, *words)


@pytest.mark.slow
def test_each_architectures_weights_have_a_hash_of_their_own(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for weights, make in ((ResNet18_Weights, resnet18), (ResNet34_Weights, resnet34)):
        name = weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1]
        torch.save(make().state_dict(), folder / name)
    words = ["model.weights=imagenet", "model.unfreeze_depth=0"]
    both = begun(photos, *words, "space.model.arch=[resnet18, resnet34]").weights_hash
    assert both is not None
    for arch in ("resnet18", "resnet34"):
        alone = begun(photos, *words, f"model.arch={arch}").weights_hash
        assert alone is not None
        assert hash_of_arch(both, arch) == hash_of_arch(alone, arch) == alone
    assert hash_of_arch("random", "resnet18") == "random"


@pytest.mark.slow
def test_searched_weights_are_resolved_and_hashed_like_fixed_ones(
    photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.pt"
    torch.save(random_state(2), path)
    words = f"space.model.weights=[random,bundled,{path}]"
    search = begun(photos, words)
    assert search.weights_hash is not None
    found = {
        name: hash_of(search.weights_hash, name, "resnet18") for name in ("bundled", str(path))
    }
    assert found == {
        "bundled": begun(photos, "model.weights=bundled").weights_hash,
        str(path): begun(photos, f"model.weights={path}").weights_hash,
    }
    assert hash_of(search.weights_hash, "random", "resnet18") == "random"
    torch.save(random_state(2, seed=1), path)
    with pytest.raises(ConfigError, match="its weights have changed"):
        check_unchanged(search, begun(photos, words))


def test_searched_weights_that_do_not_fit_are_told_before_any_trial(
    photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other.pt"
    torch.save(resnet34(num_classes=2).state_dict(), path)
    with pytest.raises(ConfigError, match=str(path)):
        begun(photos, f"space.model.weights=[random,{path}]")


def test_searched_weights_that_are_not_there_are_told_at_once(tmp_path: Path) -> None:
    config = load_config(DIGITS, [f"space.model.weights=[random,{tmp_path / 'none.pt'}]"])
    with pytest.raises(ConfigError, match=r"space\.model\.weights holds .*none\.pt: no such file"):
        check_files(config)


@pytest.mark.parametrize(
    ("words", "folds"),
    [
        (("confirm.top_k=2", "data.limit=300", "confirm.folds=auto"), 5),
        (("confirm.top_k=2", "confirm.folds=auto"), 0),
        (("confirm.top_k=2", "data.limit=300"), 0),
        (("confirm.top_k=0", "data.limit=300", "confirm.folds=auto"), 0),
        (("confirm.top_k=2", "confirm.folds=3"), 3),
    ],
)
def test_folds_are_decided_on_before_the_first_trial(words: tuple[str, ...], folds: int) -> None:
    config = load_config(DIGITS, ["data.image_size=16", "model.weights=random", *words])
    assert resolve(config, "one", Console(quiet=True)).config.confirm.folds == folds


@pytest.mark.parametrize(
    ("words", "refitted"),
    [(("data.limit=300",), True), ((), False), (("confirm.folds=5",), "auto")],
)
def test_a_refit_is_decided_on_and_told(words: tuple[str, ...], refitted: bool | str) -> None:
    stream, own = io.StringIO(), ["data.image_size=16", "model.weights=random", "confirm.top_k=2"]
    config = load_config(DIGITS, [*own, "refit.enabled=auto", *words])
    console = Console(file=stream, width=200)
    found = resolve(config, "one", console)
    assert "refit" not in stream.getvalue()  # nor where a search goes on: it was decided before
    say_refit(config, found, console)
    assert found.config.refit.enabled == refitted
    few = f"refit    of the winner, since only {found.sizes['val']} images are for validation\n"
    assert (few in stream.getvalue()) is (refitted is True)


def test_a_search_without_validation_images_is_refused() -> None:
    words = ["data.image_size=16", "model.weights=random", "data.fold=all"]
    with pytest.raises(ConfigError, match=r"data\.fold=all trains on the validation images"):
        resolve(load_config(DIGITS, words), "one", Console(quiet=True))


def test_that_a_class_is_too_small_for_folds_is_told() -> None:
    """Of a folder that comes with its splits, a class may have one image to train on."""
    labels, groups = np.array([0] * 20 + [1] * 20 + [2]), np.arange(41, dtype=np.uint64)

    def folded(name: str) -> object:
        return fold_of(name, labels, groups, 10, ["ants", "bees", "wasps"])

    few = cast("Dataset", SimpleNamespace(val=range(10), folded=folded))
    stream = io.StringIO()
    config = load_config(DIGITS, ["confirm.top_k=2", "confirm.folds=auto"])
    assert _folds(config, few, Console(file=stream, width=400)) == 0
    told = "folds    none, though confirm.folds=auto: data.fold=5/5: class wasps has a single image"
    assert stream.getvalue().startswith(told)
    with pytest.raises(ValueError, match="class wasps has a single image"):
        _folds(load_config(DIGITS, ["confirm.top_k=2", "confirm.folds=5"]), few, Console())


def test_what_an_earlier_search_found_is_tried_and_said(photos: Path, tmp_path: Path) -> None:
    url = f"tracking.study=sqlite:///{tmp_path / 'optuna.db'}"
    first = begun(photos, url).model_copy(update={"name": "first", "identity": "first"})
    ledger = open_search(first)
    for number in range(2):
        ledger.begin()
        ledger.add_epoch(number, 1, reported(0.5 + number / 10), Decision.GO_ON)
        ledger.end(number, TrialState.COMPLETE)
    output = io.StringIO()
    console = Console(file=output, width=200)
    second = choose_points(begun(photos, url), console)
    assert second.points is not None
    assert [point.name for point in second.points] == ["config", "earlier-1"]
    assert second.points[1].values == ledger.trials[1].params
    assert "first    config, earlier-1\n" in output.getvalue()
    assert "earlier-1: trial 1 of search first, its best on the same images" in output.getvalue()
    assert choose_points(begun(photos, url, "strategy.transfer=false"), console).points is None


def printed(photos: Path, *words: str) -> list[str]:
    """What is printed of a search before its first trial."""
    load_dataset.cache_clear()
    source = ["data.source=image_folder", f"data.root={photos}", "data.image_size=16"]
    config = load_config(DIGITS, [*source, "model.weights=random", *words])
    out = io.StringIO()
    resolve(config, "one", Console(file=out, width=500))
    return out.getvalue().splitlines()


def test_the_images_of_each_class_are_listed_and_few_of_them_warned_of(photos: Path) -> None:
    lines = printed(photos)
    found = next(line for line in lines if line.startswith("classes  "))
    dataset = load_dataset(begun(photos).config.data)
    counts = [
        [int((dataset.split(name).labels == label).sum()) for name in ("train", "val", "test")]
        for label in (0, 1)
    ]
    ants, bees = (" + ".join(map(str, each)) for each in counts)
    assert found == f"classes  ants: {ants}, bees: {bees}"
    warned = lines[lines.index(found) + 1]
    assert warned.startswith("         fewer than 20 training images of ")
    assert warned.endswith("train.class_weights=balanced, train.sampler=balanced")
    searched = "space.train.sampler=[shuffle, balanced]"
    used = printed(photos, searched, "train.class_weights=balanced")
    (warned,) = (line for line in used if "fewer than 20" in line)
    assert warned.endswith("consider objective.metric=val_balanced_acc")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["objective.metric=val_top5_acc"], "val_top5_acc is always 1 with 2 classes"),
        (
            ["objective.metric=val_cost", "objective.costs.ant.bees=5"],
            "objective.costs: there is no class ant among the 2; nearest: ants",
        ),
    ],
)
def test_a_metric_that_the_classes_do_not_allow_is_told_before_any_trial(
    photos: Path, words: list[str], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        begun(photos, *words)
