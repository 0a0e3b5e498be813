"""Starting searches from Python, going on with them, and listing them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tune.base.errors import (
    ConfigError,
    Halt,
    SearchStoppedError,
    is_full,
    squeeze,
    without_space,
)
from tune.config.keys import nearest
from tune.config.schema import SearchConfig
from tune.config.space import flatten_space
from tune.library.guest import Stop, as_guest, forget_images, in_pythons_words
from tune.study.lookup import find_folder
from tune.study.search import HOME
from tune.study.searches import checked_name, searches_in

if TYPE_CHECKING:
    from tune.engine.launch import Launch
    from tune.library.results import Result

_PAIR: Final = re.compile(r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}")
_BY_KEYWORD = "keyword"
"""Where an error says that a mistake is."""


def run(
    config: str | Path | None = None,
    *,
    num_samples: int | None = None,
    time_budget: str | float | None = None,
    target: float | None = None,
    search_name: str | None = None,
    show_progress: bool = True,
    **sections: Any,
) -> Result:
    """Search hyperparameters, and register the best checkpoint: `python -m tune.search` in Python.

    It runs in this process and in Ray's workers: in the Ray that you have started, or else in one
    of its own, which ends with it. Ctrl-C ends it in good order, and :func:`resume` goes on with
    it.

    Args:
        config: A YAML file, or the name of a preset, such as `image_folder`; by default `digits`.
        num_samples: The number of trials.
        time_budget: The time for all of it, in seconds or as `30m`.
        target: The validation accuracy (or other objective) that is enough.
        search_name: The search's name; by default the config's name and the time.
        show_progress: Whether to print what it does.
        **sections: Keys of the config: `name="photos"`, and of each section those that are to be
            others than the config's: `data={"root": "photos"}`, `space={"optim.lr": [1e-3, 1e-2]}`.
            A searched key that is set is no longer searched.

    Raises:
        ConfigError: A mistake in what was given. Nothing has been started then.
        SearchStoppedError: The search cannot go on for now, or no trial was completed.
    """
    from tune.engine.launch import new_search

    budget = {"num_samples": num_samples, "time": time_budget, "target": target}
    given = {key: value for key, value in budget.items() if value is not None}
    if given:
        sections["budget"] = {**_mapping("budget", sections.get("budget", {})), **given}
    with as_guest(), Stop() as stop:
        forget_images()
        path = None if config is None else Path(config)
        launch = new_search(path, _words(sections), search_name, _BY_KEYWORD, stop)
        return _run(launch, stop, show_progress)


def resume(
    name: str,
    *,
    num_samples: int | None = None,
    time_budget: str | float | None = None,
    target: float | None = None,
    show_progress: bool = True,
) -> Result:
    """Go on with a search that was interrupted, or give a finished one more to do.

    Args:
        name: The search's name, as :func:`searches` lists it.
        num_samples: The number of trials, with those that it has.
        time_budget: The time for all of it, in seconds or as `30m`, with what it has taken.
        target: The validation accuracy (or other objective) that is enough.
        show_progress: Whether to print what it does.

    Raises:
        ConfigError: There is no such search, or it could not run.
        SearchStoppedError: The search cannot go on for now, or no trial was completed.
    """
    from tune.engine.resumption import resumed_search

    budget = {"num_samples": num_samples, "time": time_budget, "target": target}
    words = {key: str(value) for key, value in budget.items() if value is not None}
    with as_guest(), Stop() as stop:
        forget_images()
        launch = resumed_search(name, words, on_loss=stop)
        if launch.finished:
            from tune.library.results import Result

            launch.home.release()
            lacks = in_pythons_words(launch.already) if launch.cut_short else ""
            return Result.of_finished(launch.home, lacks)
        return _run(launch, stop, show_progress)


@dataclass(frozen=True)
class SearchEntry:
    """A search of this folder.

    Attributes:
        name: Its name.
        state: `finished`, `unfinished`, `running` or `damaged`.
        changed: When a file was made or deleted in its folder last, in local time.
        folder: Where its report and its checkpoints are.
    """

    name: str
    state: str
    changed: datetime
    folder: Path


def searches() -> list[SearchEntry]:
    """The searches that were started in the working directory, by name."""
    found = []
    for name in searches_in(HOME):
        home = find_folder(checked_name(name, "search"))
        changed = datetime.fromtimestamp(home.folder.stat().st_mtime).astimezone()
        found.append(SearchEntry(name, home.state, changed, home.folder))
    return found


def _run(launch: Launch, stop: Stop, show_progress: bool) -> Result:
    from tune.engine.cluster import borrowed_ray
    from tune.library.results import Result

    try:
        with _stopping(launch, stop), borrowed_ray(launch.config.resources, stop):
            return Result.of_run(launch, show_progress)
    finally:
        launch.home.clear_halves()
        launch.home.release()


@contextmanager
def _stopping(launch: Launch, stop: Stop) -> Iterator[None]:
    """Say of a search that stops how to go on with it."""
    try:
        yield
    except KeyboardInterrupt:
        if stop.reason is None:
            raise
        raise SearchStoppedError(f"interrupted by {stop.reason}{launch.advice}") from None
    except Halt as halt:
        raise SearchStoppedError(f"{halt}{launch.advice}") from None
    except OSError as error:
        if not is_full(error):
            raise
        raise SearchStoppedError(f"{without_space(error)}{launch.advice}") from error


def _mapping(section: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{section}={squeeze(value)}: must hold keys of its own, as {section}={{...}} "
            f"({_BY_KEYWORD})"
        )
    return value


def _words(sections: Mapping[str, Any]) -> list[str]:
    """Keywords as the words of a command.

    Raises:
        ConfigError: One is no key of a config, or no value of one.
    """
    words = []
    for section, value in sections.items():
        if section not in SearchConfig.model_fields:
            hint = nearest(section, SearchConfig.model_fields)
            raise ConfigError(f"{section}={squeeze(value)}: no such key{hint} ({_BY_KEYWORD})")
        if not isinstance(value, Mapping):
            words.append(_word(section, value))
            continue
        inner = flatten_space(value) if section == "space" else value
        words += [_word(f"{section}.{key}", each) for key, each in inner.items()]
    return words


def _word(key: str, value: Any) -> str:
    try:
        text = json.dumps(value, default=_plain, allow_nan=True)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{key}={squeeze(value)}: {error} ({_BY_KEYWORD})") from error
    # What JSON writes as two surrogates, YAML does as one character.
    return f"{key}={_PAIR.sub(lambda pair: _as_one(pair[0]), text)}"


def _as_one(pair: str) -> str:
    """A pair of JSON's escapes as YAML's."""
    character = json.loads(f'"{pair}"')
    return f"\\U{ord(character):08x}"


def _plain(value: Any) -> Any:
    """A value as JSON has it: a path, or a number or an array of NumPy's."""
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is no value of a config")
