"""Many files labelled in batches, as each would be alone."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.data.decoding.image_file import ImageError
from trainable.inference import labelling
from trainable.inference.classifier import Classifier
from trainable.inference.labelling import Answer, ImageSource, find_images, label
from trainable.inference.spec import Spec


@pytest.fixture(scope="module")
def classifier(pretrained: dict[str, Tensor]) -> Classifier:
    return Classifier(Spec("resnet18", tuple("0123456789"), 12, 16), pretrained)


@pytest.fixture(scope="module")
def files(
    write_classes: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    folder = write_classes(tmp_path_factory.mktemp("files"), {"ants": 40, "bees": 40}, (14, 12))
    return sorted(folder.rglob("*.png"))


def probabilities(answer: Answer) -> NDArray[np.float32]:
    assert not isinstance(answer.probabilities, ImageError)
    return answer.probabilities


def test_standard_input_may_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert find_images(["a.png"]) == ([Path("a.png")], [])
    (empty,), problems = find_images(["-"])
    assert isinstance(empty, io.BytesIO)
    assert (empty.read(), problems) == (b"", [])


def test_answers_come_in_order_and_are_those_of_each_image_alone(
    classifier: Classifier, files: list[Path]
) -> None:
    answers = list(label(classifier, files))

    assert [answer.source for answer in answers] == files
    for answer in answers[::9]:
        assert isinstance(answer.source, Path)
        alone = classifier.probabilities(classifier.read([answer.source]))[0]
        np.testing.assert_allclose(probabilities(answer), alone, atol=1e-6)


def test_what_cannot_be_read_stops_nothing_else(
    classifier: Classifier, files: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(files[0].read_bytes()[:60])
    sources: list[ImageSource] = [
        *files[:3],
        broken,
        tmp_path / "missing.png",
        io.BytesIO(b"words"),
        *files[3:70],
    ]

    answers = list(label(classifier, sources))

    errors = [isinstance(answer.probabilities, ImageError) for answer in answers]
    assert [answer.source for answer in answers] == sources
    assert [index for index, error in enumerate(errors) if error] == [3, 4, 5]
    assert "missing.png cannot be read: there is no such file" in str(answers[4].probabilities)
    expected = classifier.probabilities(classifier.read(files[3:4]))[0]
    np.testing.assert_allclose(probabilities(answers[6]), expected, atol=1e-6)


def test_a_batch_of_nothing_but_broken_files_has_no_answers(
    classifier: Classifier, tmp_path: Path
) -> None:
    (answer,) = label(classifier, [tmp_path / "missing.png"])
    assert isinstance(answer.probabilities, ImageError)
    assert list(label(classifier, [])) == []


def test_no_more_is_decoded_ahead_than_a_few_batches(
    classifier: Classifier, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a folder of a million photographs would have to fit into memory."""
    monkeypatch.setattr(labelling, "BATCH", 4)
    decoded, lock = [0], threading.Lock()
    read = Classifier.read

    def counted(self: Classifier, sources: list[Path]) -> Tensor:
        with lock:
            decoded[0] += len(sources)
        return read(self, sources)

    monkeypatch.setattr(Classifier, "read", counted)
    answers = label(classifier, files)
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert decoded[0] <= 4 * (labelling._AHEAD + 1) < len(files)


def test_files_are_decoded_while_the_network_computes(
    classifier: Classifier, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelling, "BATCH", 8)
    read_on = threading.Event()
    seen = []
    read, compute = Classifier.read, Classifier.probabilities

    def told(self: Classifier, sources: list[Path]) -> Tensor:
        if sources[0] == files[15]:
            read_on.set()
        return read(self, sources)

    def waiting(self: Classifier, images: Tensor) -> NDArray[np.float32]:
        seen.append(read_on.wait(20))  # for an image of the batch after this one
        return compute(self, images)

    monkeypatch.setattr(Classifier, "read", told)
    monkeypatch.setattr(Classifier, "probabilities", waiting)
    torch.set_num_threads(1)
    list(label(classifier, files[:16]))
    assert seen[0]
