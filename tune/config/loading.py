"""From a YAML file and `key=value` words to a valid config, or to one line with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import TypeAdapter, ValidationError

from trainable.base.text import printable
from trainable.config import WEIGHTS_NAMES, TrialConfig
from trainable.files.places import is_file, is_folder
from trainable.registries import SOURCES
from tune.base.errors import ConfigError, squeeze
from tune.config.documents import read_file, read_word
from tune.config.keys import TRIAL_KEYS, keys_of, nearest, why_not_searched
from tune.config.merging import keys_in, merge
from tune.config.presets import DEFAULT, find_config
from tune.config.references import resolve
from tune.config.schema import SearchConfig
from tune.config.space import Choices, Values, flatten
from tune.config.walk import without_idle

_BRANCHES: Final = {
    *("Range", "Choices", "Bounds", "OneOf", "PortfolioName", "PortfolioPoints"),
    *("str", "bool", "int", "float"),
}
"""Pydantic's words for the branches of unions, within the location of an error."""
_OPEN: Final = {"space", "sampler.points", "strategy.portfolio"}
"""Keys below which an error says where it is."""
_SPACE: Final[TypeAdapter[dict[str, Values]]] = TypeAdapter(dict[str, Values])


def load_config(
    given: Path | None = None, overrides: Sequence[str] = (), source: str = "command line"
) -> SearchConfig:
    """Read a config and set single keys of it.

    An override of a key that is searched fixes it: the key leaves the space, unless
    another override says what to search it over.

    Args:
        given: A YAML file, or the name of a preset; by default the preset `digits`.
        overrides: Words of the form `optim.lr=1e-3`.
        source: Where these are from, as an error says it.

    Raises:
        ConfigError: The file or a word cannot be read, or breaks a rule.
    """
    given = given or Path(DEFAULT)
    content, set_keys = _read(given, overrides)
    try:
        return SearchConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(_one_line(error, given, set_keys, source)) from error


def config_text(given: Path | None = None, overrides: Sequence[str] = ()) -> str:
    """A config as YAML to start from: the file as it is, comments included.

    With overrides it is what the file and these say together, without the comments. Where the
    images lie may be left for later.

    Args:
        given: A YAML file, or the name of a preset; by default the preset `digits`.
        overrides: Words of the form `optim.lr=1e-3`.

    Raises:
        ConfigError: The file or a word cannot be read, or a word breaks a rule.
    """
    given = given or Path(DEFAULT)
    content, _ = _read(given, overrides)
    if not overrides:
        return find_config(given).read_text()
    load_config(given, [*_for_now(content), *overrides])
    words = printable(" ".join(overrides))
    return f"# {given} with {words}\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}"


def _for_now(content: Mapping[str, Any]) -> list[str]:
    """A word for the images' folder, if it has none yet and takes one."""
    data = content.get("data")
    known = data if isinstance(data, Mapping) else {}
    source = SOURCES.get(str(known.get("source")))
    source = str(known.get("source"))
    needs_root = source in SOURCES and getattr(SOURCES[source], "needs_root", False)
    return ["data.root=."] if needs_root and "root" not in known else []


def _read(given: Path, overrides: Sequence[str]) -> tuple[dict[str, Any], set[str]]:
    """What a file and overrides say together, and the keys that these set."""
    words = [read_word(word) for word in overrides]
    content = resolve(merge([read_file(find_config(given), f"--config {given}"), *words]))
    set_keys = set[str]().union(*map(keys_in, words))
    fixed = {key for key in set_keys & TRIAL_KEYS.keys() if f"space.{key}" not in set_keys}
    if isinstance(space := content.get("space"), Mapping):
        searched = {key: values for key, values in space.items() if key not in fixed}
        content["space"] = _without_idle(searched, content, fixed)
    return content, set_keys


def with_budget(config: SearchConfig, words: Mapping[str, str]) -> SearchConfig:
    """A search with some keys of its budget changed.

    Args:
        config: The search.
        words: The new values of `budget`'s keys.

    Raises:
        ConfigError: A value breaks its key's rule.
    """
    content = {**config.model_dump(mode="json"), "budget": {**config.budget.model_dump(), **words}}
    try:
        return SearchConfig.model_validate(content)
    except ValidationError as error:
        set_keys = {f"budget.{key}" for key in words}
        raise ConfigError(_one_line(error, Path(), set_keys)) from error


def check_files(config: SearchConfig) -> None:
    """Check that the files which the config names exist, before anything slow is loaded.

    Raises:
        ConfigError: The folder of images or every file of weights is missing.
    """
    root = config.data.root
    if config.data.source == "table" and isinstance(root, Path) and not is_file(root):
        raise ConfigError(
            f"data.root={squeeze(root)}: no such file; give a table with the columns path and label"
        )
    folders = {"image_folder": "one with a folder per class", "huggingface": "one of a data set"}
    if config.data.source in folders and isinstance(root, Path) and not is_folder(root):
        what = folders[config.data.source]
        if is_file(root):
            what += f"; for labels in a table: data.source=table data.root={squeeze(root)}"
        raise ConfigError(f"data.root={squeeze(root)}: no such folder; give {what}")
    weights, searched = config.model.weights, config.space.get("model.weights")
    if isinstance(searched, Choices):
        for choice in map(str, searched.choices):
            if choice not in WEIGHTS_NAMES and not Path(choice).is_file():
                raise ConfigError(
                    f"space.model.weights holds {choice}: no such file; give one, or one of "
                    f"{', '.join(WEIGHTS_NAMES)}"
                )
        return
    if not any(name in WEIGHTS_NAMES or is_file(Path(name)) for name in weights):
        raise ConfigError(
            f"model.weights={squeeze(', '.join(weights))}: no such file; give one, or "
            f"one of {', '.join(WEIGHTS_NAMES)}"
        )


def _without_idle(space: dict[str, Any], content: Mapping[str, Any], fixed: set[str]) -> Any:
    """A space less the keys whose conditions cannot hold since the command line fixed others."""
    own = {name: content[name] for name in TrialConfig.model_fields if name in content}
    try:
        base = flatten(TrialConfig.model_validate(own).model_dump())
        searched = without_idle(_SPACE.validate_python(space), base, fixed)
    except ValidationError:  # of the whole config there will be the same
        return space
    return {key: space[key] for key in searched}


def _one_line(
    error: ValidationError, given: Path, overridden: set[str], source: str = "command line"
) -> str:
    first = error.errors(include_url=False)[0]
    key, value = _key_of(first["loc"]), first["input"]
    told = _told(key, value, first["type"], first["msg"].removeprefix("Value error, "))
    below = any(each.startswith(f"{key}.") for each in overridden) if key else False
    # A rule between keys is about all of them, but for one that says what the space holds.
    of_one = [each for each in overridden if key or each.startswith("space.")]
    is_word = below or any(_is_about(told, each) for each in of_one)
    where = source if is_word else given
    return f"{told} ({where})"


def _told(key: str, value: Any, kind: str, message: str) -> str:
    """Key, value and rule of an error that pydantic has found."""
    if not key:  # a rule between keys names them itself
        return message
    if kind == "extra_forbidden":
        return f"{key}={squeeze(value)}: no such key{nearest(key, keys_of(SearchConfig))}"
    if kind in {"model_type", "dict_type"}:
        message = "must hold keys of its own"
        if key.startswith("space."):
            message = "must be a list of values, or a range such as {low: 1, high: 2}"
    if kind == "value_error" and isinstance(value, Mapping) and key in SearchConfig.model_fields:
        return message  # a rule between a section's keys names them itself
    if kind == "string_pattern_mismatch":
        message = "letters, digits and . _ - only, at most 100, the first a letter or a digit"
    several = _several(key, value)
    return f"{key}={squeeze(value)}: {several or message[0].lower() + message[1:]}"


def _several(key: str, value: Any) -> str:
    """What to write where a key that takes one value is given several; empty if it is not."""
    if key not in TRIAL_KEYS or not isinstance(value, list | tuple | Mapping):
        return ""
    if why := why_not_searched(key):
        return f"must be one value, since {why}"
    shown = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000)
    return f"must be one value; to search several, write space.{key}={squeeze(shown)}"


def _is_about(told: str, key: str) -> bool:
    """Whether an error names a key, or what is below it, at its beginning."""
    return told.startswith(key) and told[len(key) :][:1] in {"", "=", ":", ".", " "}


def _key_of(location: Sequence[int | str]) -> str:
    """The dotted key of where an error is, without pydantic's words for the branch of a union."""
    parts = [str(part) for part in location if part not in _BRANCHES]
    known = keys_of(SearchConfig)
    for count in range(1, len(parts)):
        if (key := ".".join(parts[:count])) in known and key not in _OPEN:
            return key
    return ".".join(parts)
