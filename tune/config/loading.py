"""From a YAML file and `key=value` words to a valid config, or to one line with the reason."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from yaml import YAMLError

from trainable.config import WEIGHTS_NAMES
from tune.config.presets import DEFAULT, find_config
from tune.config.schema import TRIAL_KEYS, SearchConfig, keys_of
from tune.config.space import flatten, flatten_space
from tune.errors import ConfigError, squeeze


def load_config(given: Path | None = None, overrides: Sequence[str] = ()) -> SearchConfig:
    """Read a config and set single keys of it.

    An override of a key that is searched fixes it: the key leaves the space, unless
    another override says what to search it over.

    Args:
        given: A YAML file, or the name of a preset; by default the preset `digits`.
        overrides: Words of the form `optim.lr=1e-3`.

    Raises:
        ConfigError: The file or a word cannot be read, or breaks a rule.
    """
    given = given or Path(DEFAULT)
    content = _merge(_read(given), overrides)
    set_keys = {word.split("=", 1)[0] for word in overrides}
    fixed = {key for key in set_keys & TRIAL_KEYS.keys() if not _searched(key, set_keys)}
    if isinstance(space := content.get("space"), Mapping):
        flat = flatten_space(space)
        content["space"] = {key: values for key, values in flat.items() if key not in fixed}
    try:
        return SearchConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(_one_line(error, given, set_keys)) from error


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
    if config.data.source == "image_folder" and root is not None and not root.is_dir():
        raise ConfigError(f"data.root={root}: no such folder; give one with a folder per class")
    weights = config.model.weights
    if not any(name in WEIGHTS_NAMES or Path(name).is_file() for name in weights):
        raise ConfigError(
            f"model.weights={', '.join(weights)}: no such file; give one, or "
            f"one of {', '.join(WEIGHTS_NAMES)}"
        )


def _read(given: Path) -> DictConfig:
    try:
        tree = OmegaConf.load(find_config(given))
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"--config {given}: not readable as YAML: {squeeze(error)}") from error
    if not isinstance(tree, DictConfig):
        raise ConfigError(f"--config {given}: must hold keys and values, not a list")
    return tree


def _merge(tree: DictConfig, overrides: Sequence[str]) -> dict[Any, Any]:
    words = [_parse_override(word) for word in overrides]
    try:
        merged = OmegaConf.merge(tree, *words)
        _check_resolvers(OmegaConf.to_container(merged))
        content = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(squeeze(error)) from error
    assert isinstance(content, dict)
    return content


def _check_resolvers(content: Any) -> None:
    """Allow `${optim.lr}`, another key's value, but not `${oc.env:HOME}`, which reads a variable.

    Raises:
        ConfigError: A value calls one of OmegaConf's resolvers.
    """
    for key, value in flatten(content).items():
        depth = 0
        for mark in re.findall(r"\$\{|\}|:", str(value)):
            if mark == ":" and depth:
                raise ConfigError(
                    f"{key}={squeeze(value)}: a config may refer to its own keys, such as "
                    "${optim.lr}, and to nothing else"
                )
            depth += {"${": 1, "}": -(depth > 0), ":": 0}[mark]


def _parse_override(word: str) -> DictConfig:
    key, equals, _ = word.partition("=")
    if not equals or not key:
        raise ConfigError(f"{word!r}: an override is written key=value, such as optim.lr=1e-3")
    try:
        return OmegaConf.from_dotlist([word])
    except (YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{word}: {squeeze(error)}") from error


def _searched(key: str, overridden: Iterable[str]) -> bool:
    space = f"space.{key}"
    return any(other == space or other.startswith(space + ".") for other in overridden)


def _one_line(error: ValidationError, given: Path, overridden: set[str]) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"] if not _is_branch(part))
    where = "command line" if key in overridden else str(given)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, keys_of(SearchConfig), 1, cutoff=0.5)
        hint = f"; nearest: {near[0]}" if near else ""
        return f"{key}={first['input']}: no such key{hint} ({where})"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] in {"model_type", "dict_type"}:
        message = "must hold keys of its own"
    if not key:  # a rule between keys names them itself
        return f"{message} ({where})"
    return f"{key}={squeeze(first['input'])}: {message[0].lower()}{message[1:]} ({where})"


def _is_branch(part: int | str) -> bool:
    """Whether pydantic put `part` into a location to say which branch of a union failed."""
    return isinstance(part, str) and part in {"Range", "Choices"}
