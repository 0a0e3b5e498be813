"""Images with any number of labels: what is read, learned, measured and answered."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from torch.nn import functional as F

from tests.helpers.label_sets import SIDES, write_table
from trainable.augment.mixing import Mixer
from trainable.config import AugmentConfig, DataConfig, ObjectiveConfig, TrialConfig
from trainable.data.balance import Balance
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.forms.label_sets import rarest
from trainable.data.forms.table import list_table
from trainable.device import Device
from trainable.finetuner import FineTuner
from trainable.inference.calibration import NONE, calibrate
from trainable.inference.classifier import Classifier
from trainable.inference.exported import open_onnx, open_pt2, save_onnx, save_pt2
from trainable.inference.quantization import save_int8
from trainable.inference.scoring import score
from trainable.judging.bootstrap import interval
from trainable.judging.objective import Objective
from trainable.judging.predictions import Predictions
from trainable.judging.probabilities import mean_answer
from trainable.losses import several_loss, several_masses

TinyConfig = Callable[..., TrialConfig]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("table"), 240)


def config_of(table: Path, **changes: object) -> DataConfig:
    given = {"source": "table", "root": table, "image_size": 16, "labels": "several", **changes}
    return DataConfig.model_validate(given)


@pytest.fixture(scope="module")
def dataset(table: Path) -> Dataset:
    load_dataset.cache_clear()
    return load_dataset(config_of(table))


def trial(tiny: TinyConfig, table: Path, **sections: object) -> TrialConfig:
    data = {"source": "table", "root": str(table), "image_size": 16, "limit": None}
    data |= {"labels": "several", "split_rule": 2}
    return tiny(data=data, **sections)


def answers(count: int = 150, classes: int = 4, seed: int = 0) -> Predictions:
    """Answers that are better than chance to images with any number of labels."""
    draw = torch.Generator().manual_seed(seed)
    truth = torch.rand(count, classes, generator=draw) < torch.linspace(0.1, 0.6, classes)
    logits = torch.randn(count, classes, generator=draw) + 2 * truth.float() - 1
    labels = torch.from_numpy(rarest({"train": truth.numpy().astype(np.uint8)})["train"])
    return Predictions(logits, labels, truth)


def test_a_table_says_which_labels_each_image_has(table: Path, dataset: Dataset) -> None:
    assert dataset.classes == tuple(sorted(SIDES))
    assert dataset.has_several
    said = {}
    with table.open() as file:
        for row in csv.DictReader(file):
            said[table.parent / row["path"]] = set(filter(None, row["label"].split("|")))
    assert set() in said.values()
    found = 0
    for name in ("train", "val", "test"):
        split = dataset.split(name)
        assert split.targets.shape == (len(split), 3)
        for path, row in zip(split.files, split.targets, strict=True):
            assert {dataset.classes[label] for label in np.flatnonzero(row)} == said[path]
            found += 1
    assert found == 240


def test_the_rarest_label_decides_the_split_so_that_each_is_in_all(dataset: Dataset) -> None:
    balance = Balance.of(dataset)
    assert min(min(counts) for counts in balance.counts) >= 2
    splits = (dataset.train, dataset.val, dataset.test)
    totals = np.sum([split.targets.sum(0, dtype=np.int64) for split in splits], axis=0)
    assert [sum(counts) for counts in balance.counts] == totals.tolist()
    rows = np.array([[1, 1, 0], [1, 0, 1], [0, 0, 0], [1, 1, 1]], np.uint8)
    assert rarest({"train": rows})["train"].tolist() == [1, 2, 0, 1]


def test_the_fingerprint_tells_other_labels(table: Path, dataset: Dataset, tmp_path: Path) -> None:
    lines = table.read_text().splitlines()
    first = next(n for n, line in enumerate(lines) if line.endswith(",left|right"))
    lines[first] = lines[first].removesuffix("|right")
    changed = table.parent / "changed.csv"
    changed.write_text("\n".join(lines))
    load_dataset.cache_clear()
    assert load_dataset(config_of(changed)).fingerprint != dataset.fingerprint
    folded = dataset.folded("1/3")
    assert folded.has_several
    assert len(folded.val.targets) == len(folded.val)


def test_several_labels_where_one_is_expected_are_told_with_the_key(table: Path) -> None:
    load_dataset.cache_clear()
    with pytest.raises(ValueError, match=r"for any number of them give data\.labels=several"):
        load_dataset(config_of(table, labels="one"))
    with pytest.raises(ValidationError, match=r"means nothing with data\.source=digits"):
        DataConfig.model_validate({"labels": "several"})


def test_each_label_may_have_a_column_of_its_own(table: Path) -> None:
    with table.open() as file:
        rows = list(csv.DictReader(file))
    own = table.parent / "columns.csv"
    with own.open("w") as file:
        file.write("path,Left,right,top,group\n")
        for row in rows:
            has = row["label"].split("|")
            file.write(f"{row['path']},{','.join(str(int(s in has)) for s in SIDES)},\n")
    load_dataset.cache_clear()
    bars = load_dataset(config_of(table))
    found = load_dataset(config_of(own))
    assert found.classes == bars.classes == tuple(sorted(SIDES))
    assert np.array_equal(found.train.targets, bars.train.targets)
    own.write_text(own.read_text().replace(",1,", ",maybe,", 1))
    load_dataset.cache_clear()
    with pytest.raises(ValueError, match="is maybe, and must be 1 or 0, as there is no column"):
        load_dataset(config_of(own))


def test_a_column_more_is_said_to_be_a_label_or_refused_with_what_to_do(tmp_path: Path) -> None:
    table = write_table(tmp_path, 60)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    for name, width in (("flag.csv", "{}"), ("width.csv", "64{}")):
        lines = [
            f"{row['path']},{int('left' in row['label'])},{1 - n % 2},{width.format(n % 2)}"
            for n, row in enumerate(rows)
        ]
        (tmp_path / name).write_text("\n".join(["path,left,even,width", *lines]))

    found = list_table(tmp_path / "flag.csv", several=True)

    assert "no column label: each other column is a label: even, left, width" in found.notes
    with pytest.raises(
        ValueError,
        match=r"line 2: width is 640, .* remove the column width, or give one called label",
    ):
        list_table(tmp_path / "width.csv", several=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_mean_binary_cross_entropy(smoothing: float) -> None:
    found = answers()
    assert found.truth is not None
    masses = several_masses(found.truth.numpy().astype(np.uint8), "none")
    loss = several_loss(found.logits, masses, smoothing, 0.0) / masses.sum()
    target = found.truth.float() * (1 - smoothing) + smoothing / 2
    wanted = F.binary_cross_entropy_with_logits(found.logits, target)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert found.loss == pytest.approx(
        F.binary_cross_entropy_with_logits(found.logits, found.truth.float()).item()
    )


def test_the_focal_loss_of_labels_is_that_of_lin_et_al() -> None:
    found = answers()
    assert found.truth is not None
    masses = several_masses(found.truth.numpy().astype(np.uint8), "none")
    right = torch.where(found.truth, found.logits, -found.logits).sigmoid()
    wanted = -((1 - right) ** 2 * right.log()).mean()
    loss = several_loss(found.logits, masses, 0.0, 2.0) / masses.sum()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-4)


def test_balanced_weights_make_having_a_label_count_as_much_as_not() -> None:
    targets = (np.random.default_rng(0).random((200, 3)) < (0.02, 0.3, 0.5)).astype(np.uint8)
    masses = several_masses(targets, "balanced")
    having, lacking = masses.sum(0).chunk(2)
    torch.testing.assert_close(having, lacking)
    heavy = several_masses(targets, "none", np.arange(200.0))
    torch.testing.assert_close(heavy.sum(1) / heavy.sum(), torch.arange(200) / 19_900)


def test_mixed_images_have_their_labels_by_their_shares() -> None:
    targets = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
    masses = several_masses(targets.numpy().astype(np.uint8), "none")
    mixer = Mixer(AugmentConfig(mixup=1.0), 2, torch.Generator().manual_seed(0))
    shares, mixed, counted = mixer(torch.eye(4), targets, masses)
    torch.testing.assert_close(mixed, shares @ targets)
    assert counted is not None
    torch.testing.assert_close(counted, shares @ masses)


def test_measures_are_those_of_scikit_learn() -> None:
    found = answers()
    assert found.truth is not None
    truth, said = found.truth.numpy(), (found.logits > 0).numpy()
    scores = found.logits.double().numpy()
    classes = tuple("abcd")
    names = ("val_map", "val_micro_f1", "val_macro_f1", "val_auroc", "val_acc", "val_loss")
    config = ObjectiveConfig.model_validate({"metric": names[0], "also": names})
    values = Objective.of(config, classes, several=True).measured(found)
    assert values["val_map"] == pytest.approx(average_precision_score(truth, scores))
    assert values["val_micro_f1"] == pytest.approx(f1_score(truth, said, average="micro"))
    assert values["val_macro_f1"] == pytest.approx(f1_score(truth, said, average="macro"))
    assert values["val_auroc"] == pytest.approx(roc_auc_score(truth, scores))
    assert values["val_acc"] == pytest.approx((truth == said).all(1).mean())
    rows = found.per_class(classes)
    assert rows["c"]["support"] == truth[:, 2].sum()
    wanted = average_precision_score(truth[:, 2], scores[:, 2])
    assert rows["c"]["average_precision"] == pytest.approx(wanted)
    drawn = np.random.default_rng(0).integers(150, size=150)
    whole, draw = found.drawn(torch.from_numpy(drawn)), found.outcomes.at(drawn)
    for name in ("mean_average_precision", "micro_f1", "macro_f1", "auroc", "accuracy"):
        assert getattr(draw, name) == pytest.approx(getattr(whole, name)), name
    low, high = interval(Objective.named("val_map").metric, found)
    assert low < values["val_map"] < high


@pytest.mark.parametrize("ties", [False, True])
def test_mean_average_precision_is_defined_with_one_label_too(ties: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (90,), generator=draw)
    logits = torch.randn(90, 3, generator=draw) + F.one_hot(labels, 3)
    logits = logits[torch.arange(90) % 7] if ties else logits
    scores = logits.double().softmax(1)
    wanted = np.mean([average_precision_score(labels == c, scores[:, c]) for c in range(3)])
    assert Predictions(logits, labels).mean_average_precision == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("metric", ["val_balanced_acc", "val_top5_acc", "val_cost"])
def test_a_metric_of_one_label_an_image_is_refused(metric: str) -> None:
    costs = {"a": {"b": 2}} if metric == "val_cost" else None
    config = ObjectiveConfig.model_validate({"metric": metric, "costs": costs})
    with pytest.raises(ValueError, match=f"{metric} is of images with one label each"):
        Objective.of(config, tuple("abcdef"), several=True)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"augment": {"mixup": 0.3, "cutmix": 0.3}}, marks=pytest.mark.slow),
        pytest.param({"train": {"class_weights": "balanced"}}, marks=pytest.mark.slow),
    ],
)
def test_each_label_is_learned(
    tiny: TinyConfig, table: Path, device: Device, changes: dict[str, dict[str, object]]
) -> None:
    sections: dict[str, dict[str, object]] = {
        "model": {"weights": "bundled", "unfreeze_depth": 0},
        "objective": {"metric": "val_map", "also": ["val_micro_f1"]},
        "optim": {"lr": 2e-2},
        **changes,
        "train": {"epochs": 12, "batch_size": 16, **changes.get("train", {})},
    }
    load_dataset.cache_clear()
    tuner = FineTuner(trial(tiny, table, **sections), device)
    first, epoch = tuner.evaluate("val").mean_average_precision, dict[str, float]()
    while not tuner.finished:
        epoch = tuner.train_epoch()
    assert epoch["val_map"] > max(0.75, first + 0.1)
    assert epoch["val_micro_f1"] > 0.6
    assert 0 <= epoch["train_acc"] <= 1


@pytest.mark.parametrize("parts", [2, 3])
def test_batches_in_parts_are_the_same_update_of_labels(
    tiny: TinyConfig, table: Path, device: Device, parts: int
) -> None:
    train = {"class_weights": "balanced", "epochs": 2}
    config = trial(tiny, table, train=train, optim={"focal_gamma": 1.0, "label_smoothing": 0.1})
    whole, divided = (FineTuner(config, device, micro_batches=count) for count in (1, parts))
    for _ in range(2):
        expected, found = whole.train_epoch(), divided.train_epoch()
        for name in ("train_loss", "train_acc", "val_loss", "val_acc"):
            assert found[name] == pytest.approx(expected[name], abs=1e-5)


@pytest.mark.parametrize("flips", [False, True])
def test_what_was_trained_answers_the_same_from_its_files(
    tiny: TinyConfig, table: Path, device: Device, tmp_path: Path, flips: bool
) -> None:
    config = trial(tiny, table, predict={"flips": flips}, optim={"lr": 0.05})
    tuner = FineTuner(config, device)
    tuner.train_epoch()
    tuner.classifier().save(tmp_path / "model")
    served = Classifier.load(tmp_path / "model")
    assert served.spec.several
    test, expected = (
        score(served, tuner.dataset.test, tuner.dataset.classes),
        tuner.evaluate("test"),
    )
    torch.testing.assert_close(test.logits.float(), expected.logits, atol=2e-3, rtol=2e-3)
    assert test.truth is not None
    assert test.loss == pytest.approx(expected.loss, rel=1e-3)
    rows = served.probabilities(served.read([tuner.dataset.test.files[0]]))
    label, probability = served.answer(rows[0])
    assert set(filter(None, label.split("|"))) == {
        name for name, value in zip(served.spec.classes, rows[0], strict=True) if value > 0.5
    }
    assert probability == pytest.approx(np.maximum(rows[0], 1 - rows[0]).min())


@pytest.mark.slow
@pytest.mark.parametrize("flips", [False, True])
def test_an_exported_file_has_a_probability_for_each_label(
    tiny: TinyConfig, table: Path, device: Device, tmp_path: Path, flips: bool
) -> None:
    classifier = FineTuner(trial(tiny, table, predict={"flips": flips}), device).classifier()
    pixels = torch.randint(256, (6, 3, 16, 16), dtype=torch.uint8)
    wanted = classifier.answering(pixels).detach().numpy()
    save_pt2(classifier, tmp_path / "model.pt2")
    np.testing.assert_allclose(open_pt2(tmp_path / "model.pt2")(pixels), wanted, atol=1e-5)
    save_onnx(classifier, tmp_path / "model.onnx")
    np.testing.assert_allclose(open_onnx(tmp_path / "model.onnx")(pixels), wanted, atol=1e-5)
    assert not np.allclose(wanted.sum(1), 1)
    save_int8(tmp_path / "model.onnx", tmp_path / "int8.onnx", pixels)
    np.testing.assert_allclose(open_onnx(tmp_path / "int8.onnx")(pixels), wanted, atol=0.1)
    graph = onnx.load(tmp_path / "int8.onnx").graph
    ends = [node for node in graph.node if set(node.output) & {each.name for each in graph.output}]
    assert {node.op_type for node in ends} <= {"Sigmoid", "Div", "Mul"}


def test_the_mean_answer_is_that_of_probabilities() -> None:
    first, second = (torch.randn(5, 3, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    mean = mean_answer(first, second, several=True).sigmoid()
    torch.testing.assert_close(mean, (first.sigmoid() + second.sigmoid()) / 2)


def test_predictions_are_the_same_once_they_were_written() -> None:
    found = answers()
    buffer = io.BytesIO()
    found.save(buffer)
    buffer.seek(0)
    read = Predictions.load(buffer)
    assert read.truth is not None
    assert found.truth is not None
    assert torch.equal(read.truth, found.truth)
    assert read.summary(tuple("abcd")) == found.summary(tuple("abcd"))
    assert "confusion" not in read.summary(tuple("abcd"))
    assert calibrate(found) != NONE
    assert replace(found, truth=None).loss != found.loss
