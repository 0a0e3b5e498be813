"""`python -m tune.data`: whether images are sound, before a search or after one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainable.files.places import why_not_writable
from tune.base.errors import DONE, FAILED, ConfigError
from tune.cli import ConfigOption, Door, open_console
from tune.config.data_words import config_of_images
from tune.study.folder import SearchFolder
from tune.study.searches import checked_name
from tune.tracking.schema import Artifact

if TYPE_CHECKING:
    from tune.reporting.data_check import DataCheck

app = Door("tune.data")


@app.command()
def main(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ROOT] [KEY=VALUE]...",
            help="The folder, table or URL of images, and keys of the config; by default its own.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    search: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Look at the images of this search, and at the labels that its models contradict.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The folder to write to; by default this one, or the search's own.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Check images before they are trained on: counts, sizes, broken files, duplicates, labels.

    Every image is read once, as a search would read it. `data.html`, one page that needs no
    network, shows what was found, some images of each class, and what each augmentation policy
    makes of twelve of them.

    With `--search`, models of that search judge images that they were not trained on: those of its
    folds the training and validation images, else its winner the validation images; its model the
    test images. Images whose label they contradict are shown too, and `labels.csv` lists every
    image, the most doubtful first, to correct. That is cleanlab's work:
    `pip install 'resnet-tune[data-check]'`.

    Examples:
    `python -m tune.data photos`

    `python -m tune.data photos data.image_size=128 --json`

    `python -m tune.data --search photos-20260131-120000`

    Exit code: 0 done, 1 a split leaks into another, a file is broken or no search could split the
    images, 2 a mistake in the command.
    """
    if search is not None:
        if words or config:
            raise ConfigError(
                "--search takes the images of that search: no folder, key or --config"
            )
        found = _after(checked_name(search, "--search"), out)
    else:
        found = _before(words or [], config, out)
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        found.print(open_console())
    return FAILED if found.account.fails else DONE


def _after(name: str, out: Path | None) -> DataCheck:
    home = SearchFolder(name)
    search = home.load()
    folder = out or home.shown
    _check_writable(folder)
    from tune.soundness.labels import check_installed

    check_installed()
    from tune.reporting.data_check import check_searched_images

    return check_searched_images(search, folder, app.complain)


def _before(words: list[str], config: Path | None, out: Path | None) -> DataCheck:
    folder, settings = out or Path(), config_of_images(words, config)
    _check_writable(folder)
    from tune.reporting.data_check import check_images

    return check_images(settings, folder)


def _check_writable(folder: Path) -> None:
    if reason := why_not_writable(folder / Artifact.DATA):
        raise ConfigError(f"--out {folder} cannot be written: {reason}")


if __name__ == "__main__":
    app()
