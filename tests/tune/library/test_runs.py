"""Mistakes in Python, told before anything is started."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import tune
from tests.helpers.images import write_folders
from tests.helpers.results import add_trial, dataset_of, results_of
from tests.helpers.searches import FinishedSearch, copied
from tests.helpers.studies import search_of
from trainable.config import DataConfig
from trainable.data.datasets import load_dataset
from tune.base.errors import Halt
from tune.config.loading import load_config
from tune.config.space import Choices, Range
from tune.engine.launch import Launch
from tune.library.guest import Stop, as_guest
from tune.library.results import Result
from tune.library.runs import _run, _words
from tune.reporting.results import SearchResults
from tune.study.folder import SearchFolder
from tune.study.lookup import find_folder
from tune.study.trial import TrialState


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"optim": {"lrr": 3}}, "optim.lrr=3: no such key; nearest: optim.lr (keyword)"),
        ({"optimm": {"lr": 3}}, "optimm={'lr': 3}: no such key; nearest: optim (keyword)"),
        ({"num_samples": "x"}, "budget.num_samples=x: "),
        ({"time_budget": "soon"}, "budget.time=soon: "),
        ({"budget": 3, "num_samples": 2}, "budget=3: must hold keys of its own"),
        ({"optim": {"lr": object}}, "a type is no value of a config (keyword)"),
        ({"data": {"source": "image_folder", "root": Path("none")}}, "data.root=none: no such f"),
        ({"search_name": "../x"}, "search_name ../x: letters, digits"),
        ({"config": "digitss"}, "config digitss: no such file or preset"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(
    sections: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(tune.ConfigError) as error:
        tune.run(**sections)
    assert told in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_search_is_told_with_those_there_are() -> None:
    with pytest.raises(tune.ConfigError, match="no search was started in this folder"):
        tune.resume("first")
    assert tune.searches() == []


def test_keywords_mean_what_the_words_of_a_command_mean() -> None:
    words = _words(
        {
            "name": "photos",
            "data": {"root": Path("photos"), "image_size": np.int64(64)},
            "optim": {"lr": np.float32(0.5)},
            "space": {
                "train": {"batch_size": (32, 64)},
                "optim.weight_decay": {"low": 0, "high": 1},
            },
        }
    )
    config = load_config(None, [*words, "data.source=image_folder"])
    assert (config.name, config.data.root, config.data.image_size) == ("photos", Path("photos"), 64)
    assert config.optim.lr == 0.5
    assert "optim.lr" not in config.space  # it is set, so it is searched no longer
    assert config.space["train.batch_size"] == Choices(choices=(32, 64))
    assert config.space["optim.weight_decay"] == Range(low=0, high=1)


def test_a_finished_search_is_read_without_running_anything(
    finished_search: FinishedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished_search.folder)
    (entry,) = tune.searches()
    assert (entry.name, entry.state) == ("first", "finished")
    result = tune.resume("first")
    assert result.model_name == "models:/resnet18-digits/1"
    assert len(result.trials) == 5
    assert set(result.trials["state"]) <= {"complete", "pruned"}
    best = result.trials["val_acc"][result.trials["state"] == "complete"].max()
    assert result.best_score == best
    assert set(result.best_params) <= set(result.trials.columns)
    assert len(result.study.trials) == 5
    assert result.report == finished_search.folder / "mlruns/searches/first/report.html"
    again = tune.resume("first")  # the lock is free again
    assert again.test_score == result.test_score
    shown = result._repr_html_()
    ending = finished_search.output.partition("\nRegistered ")[2].partition("\nSettings of")[0]
    scores = [line for line in ending.splitlines()[1:] if line]
    assert len(scores) >= 4
    places = [shown.index(escape(line)) for line in scores]
    assert places == sorted(places), "what is surest comes first, as on the terminal"
    assert shown.index("Registered resnet18-digits version 1: the first champion") < places[0]
    assert places[-1] < shown.index("<table")
    told = repr(result)
    names = [f"{name}_score=" for name in ("test", "confirmed", "best")]
    assert [told.index(name) for name in names] == sorted(map(told.index, names))


@pytest.mark.parametrize(
    "search", [lambda: tune.run(search_name="../x"), lambda: tune.resume("first")]
)
def test_images_that_were_corrected_since_the_last_search_are_read_again(
    search: Callable[[], object], tmp_path: Path
) -> None:
    write_folders(tmp_path / "photos", ["ants", "bees"], 12)
    config = DataConfig(source="image_folder", root=tmp_path / "photos", image_size=12)
    before = load_dataset(config)
    (tmp_path / "photos" / "ants" / "0.png").unlink()
    with pytest.raises(tune.ConfigError):
        search()
    assert load_dataset(config).fingerprint != before.fingerprint


def test_a_search_whose_time_is_used_up_names_the_keyword_for_more(
    finished_search: FinishedSearch, tmp_path: Path
) -> None:
    copied(finished_search.folder, tmp_path)
    home = find_folder("first")
    search = home.load()
    budget = search.config.budget.model_copy(update={"time": 5400.0})
    config = search.config.model_copy(update={"budget": budget})
    home.save(search.model_copy(update={"config": config, "cut_short": True}))
    told = "search first has used up its 1 h 30 min; for more: time_budget"
    assert told in tune.resume("first").unfinished


def ending(come_to: SearchResults | BaseException, home: SearchFolder) -> Launch:
    """A search that comes to something, without running."""

    def run(console: Console) -> SearchResults:
        if isinstance(come_to, BaseException):
            raise come_to
        return come_to

    return Launch(home, load_config(None, []), run)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left"), r"^no space is left on the disk .*; make some; "),
        (OSError(errno.EDQUOT, "Quota exceeded"), r"^no space is left on the disk .*; make some; "),
        (Halt("the storage is away"), "^the storage is away; "),
    ],
)
def test_what_stops_a_search_for_now_is_told_with_the_way_on(
    error: BaseException, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    home = SearchFolder("one", tmp_path / "mlruns")
    home.begin(search_of(load_config(None, []), "sqlite:///o.db"))
    with (
        as_guest(),
        pytest.raises(tune.SearchStoppedError, match=told + r"go on with: tune\.resume\('one'\)$"),
    ):
        _run(ending(error, home), Stop(), show_progress=False)
    assert home.state == "unfinished"


def test_another_error_of_the_system_stays_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    launch = ending(PermissionError(errno.EACCES, "Permission denied"), SearchFolder("one"))
    with as_guest(), pytest.raises(PermissionError):
        _run(launch, Stop(), show_progress=False)


def test_a_search_without_a_completed_trial_is_an_exception(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = dataset_of(["a", "b"])
    results = replace(results_of(dataset, 0), model=None, test=None)
    add_trial(results.ledger, [], TrialState.FAIL, "ValueError: no such layer")
    told = r"^no trial was completed \(ValueError: no such layer\); see mlflow ui, experiment "
    with pytest.raises(tune.SearchStoppedError, match=told):
        Result.of_run(ending(results, SearchFolder("one")), show_progress=False)
    monkeypatch.setattr("tune.reporting.files.read_results", lambda _: results)
    monkeypatch.setattr(SearchFolder, "load", lambda _: None)
    read = Result.of_finished(SearchFolder("one"), "")  # to look at its trials
    assert (read.best_params, read.test_score) == ({}, None)
    assert read.unfinished.startswith("no trial was completed (ValueError")


@pytest.mark.parametrize("name", ["photos😀", "a\\b", "\x85\u2028", "ü'\"#: {x}", "🐝🐜"])
def test_a_value_of_any_characters_arrives_as_it_is(name: str) -> None:
    (word,) = _words({"data": {"root": name}})
    config = load_config(None, [word, "data.source=image_folder"])
    assert str(config.data.root) == name


def test_a_resume_that_fails_lets_the_next_one_in(finished_search: FinishedSearch) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(finished_search.folder)
        with pytest.raises(tune.ConfigError, match="num_samples 3: the search has 5") as first:
            tune.resume("first", num_samples=3)
        with pytest.raises(tune.ConfigError, match="num_samples 2: the search has 5"):
            tune.resume("first", num_samples=2)
    assert first.value is not None  # and is kept, as a notebook keeps it


def test_an_image_of_pillows_is_read_as_its_file_is(
    finished_search: FinishedSearch, tmp_path: Path
) -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:20] = (250, 120, 20)
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.fromarray(pixels).save(tmp_path / "side.tiff", exif=exif)
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / "print.tiff")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(finished_search.folder)
        model = tune.load_model("models:/resnet18-digits@champion")
    files = [tmp_path / "side.tiff", tmp_path / "print.tiff"]
    of_files = model.predict_proba(files)
    with Image.open(files[0]) as side, Image.open(files[1]) as print_:
        of_images = model.predict_proba([side, print_])
    np.testing.assert_allclose(of_images, of_files, atol=1e-3)
    assert not np.allclose(of_files[0], of_files[1], atol=1e-3)


def test_an_image_may_be_bytes_or_an_array(finished_search: FinishedSearch, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(finished_search.folder)
        model = tune.load_model("resnet18-digits")
    of_file = model.predict_proba(str(tmp_path / "a.png"))
    of_bytes = model.predict_proba((tmp_path / "a.png").read_bytes())
    np.testing.assert_array_equal(of_bytes, of_file)
    np.testing.assert_array_equal(model.predict_proba(pixels), of_file)
    with pytest.raises(ValueError, match="NoneType is no image: give a path"):
        model.predict([None])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"nope\.png cannot be read: there is no such file"):
        model.predict("nope.png")
