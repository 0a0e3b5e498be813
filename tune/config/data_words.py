"""The images that a command's words name: a folder, keys of the config, or the config's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trainable.data.forms.rows import TABLES
from trainable.files.places import is_folder
from tune.config.loading import load_config
from tune.config.schema import SearchConfig

_FOLDER_PRESET: Final = Path("image_folder")


def config_of_images(words: Sequence[str], config: Path | None) -> SearchConfig:
    """The config that some words about images come to.

    Args:
        words: Overrides, and before them a folder or the file of a table, or the URL of one.
        config: A config; by default, with a folder, that of folders of images.

    Raises:
        ConfigError: A mistake in any of them.
    """
    root, overrides = _root_and_overrides(words)
    if root is not None:
        is_named = any(word.partition("=")[0] == "data.source" for word in overrides)
        is_table = not is_named and config is None and root.lower().endswith(TABLES)
        source = ["data.source=table"] if is_table else []
        overrides = [f"data.root={json.dumps(root, ensure_ascii=False)}", *source, *overrides]
        config = config or _FOLDER_PRESET
    return load_config(config, overrides)


def _root_and_overrides(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """A folder may have an equals sign in its name; then it has to be there, or be a URL."""
    if words and ("=" not in words[0] or "://" in words[0] or is_folder(Path(words[0]))):
        return words[0], list(words[1:])
    return None, list(words)
