"""From a YAML file and `key=value` words to a valid config, or one line that says why not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from yaml import YAMLError

from trainable.config import WEIGHTS_NAMES
from tune.config.schema import TRIAL_KEYS, SearchConfig
from tune.errors import ConfigError, squeeze

DEFAULT_CONFIG = Path("configs/digits.yaml")


def load_config(path: Path, overrides: Sequence[str] = ()) -> SearchConfig:
    """Read a config and set single keys of it.

    An override of a key that is searched fixes it: the key leaves the space, unless
    another override says what to search it over.

    Args:
        path: A YAML file.
        overrides: Words of the form `optim.lr=1e-3`.

    Raises:
        ConfigError: The file or a word cannot be read, or breaks a rule.
    """
    content = _merge(_read(path), overrides)
    fixed = {word.split("=", 1)[0] for word in overrides}
    _fix(content, {key for key in fixed & TRIAL_KEYS.keys() if not _searched(key, fixed)})
    try:
        return SearchConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(_one_line(error, path, fixed)) from error


def with_budget(config: SearchConfig, words: Mapping[str, str]) -> SearchConfig:
    """A search with parts of its budget set anew.

    Args:
        config: The search.
        words: Values of `budget`'s keys.

    Raises:
        ConfigError: One breaks its rule.
    """
    content = {**config.model_dump(mode="json"), "budget": {**config.budget.model_dump(), **words}}
    try:
        return SearchConfig.model_validate(content)
    except ValidationError as error:
        fixed = {f"budget.{key}" for key in words}
        raise ConfigError(_one_line(error, Path(), fixed)) from error


def check_files(config: SearchConfig) -> None:
    """Check that what the config names on disk is there, before anything slow is loaded.

    Raises:
        ConfigError: The images or all of the weights are missing.
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


def _read(path: Path) -> DictConfig:
    if not path.is_file():
        near = difflib.get_close_matches(str(path), map(str, Path("configs").glob("**/*.yaml")), 1)
        hint = f"; nearest: {near[0]}" if near else ""
        raise ConfigError(f"--config {path}: no such file{hint}")
    try:
        tree = OmegaConf.load(path)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"--config {path}: not readable as YAML: {squeeze(error)}") from error
    if not isinstance(tree, DictConfig):
        raise ConfigError(f"--config {path}: must hold keys and values, not a list")
    return tree


def _merge(tree: DictConfig, overrides: Sequence[str]) -> dict[Any, Any]:
    words = [_parse_override(word) for word in overrides]
    try:
        content = OmegaConf.to_container(OmegaConf.merge(tree, *words), resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(squeeze(error)) from error
    assert isinstance(content, dict)
    return content


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


def _fix(content: dict[Any, Any], keys: Iterable[str]) -> None:
    """Take `keys` out of the space, however deep they stand in it."""
    for key in keys:
        part, _, field = key.partition(".")
        space = content.get("space")
        inner = space.get(part) if isinstance(space, dict) else None
        if isinstance(inner, dict):
            inner.pop(field, None)


def _one_line(error: ValidationError, path: Path, overridden: set[str]) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"] if not _is_branch(part))
    where = "command line" if key in overridden else str(path)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, known_keys(), 1, cutoff=0.5)
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


def known_keys(model: type[BaseModel] = SearchConfig, prefix: str = "") -> list[str]:
    """Every dotted key of a config."""
    keys = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += known_keys(field.annotation, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys
