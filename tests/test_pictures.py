"""How `make pictures` rewrites the pages; what it photographs takes a search and a browser."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers.commands import REPOSITORY

pytest.importorskip("playwright")

PAGE = """# A page

```
search   digits-20260101-000000
...
Took 1 s
```

```
$ python -m tune.predict seven.png
seven.png: 1 10.00%
```

```
$ python -m tune.search --resume digits-20260101-000000
```
"""
PRINTED = """search   digits-20990101-000000
trials   20, 2 at once, 1 CPU each
trial   0 complete val_acc=98.66% epoch 6 | 1/20 ended
trial   1 pruned   val_acc=9.73% epoch 1 | 2/20 ended
confirm  4, 2 at once, 1 CPU each
confirm   0 fail     out of memory | 1/4 ended

Took 2 s"""


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    spec = spec_from_file_location("pictures", REPOSITORY / "docs" / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_search_is_written_without_the_lines_of_its_trials(pictures: ModuleType) -> None:
    text = pictures.with_search(PAGE, PRINTED)
    assert text.split("```")[1].splitlines()[1:] == [
        "search   digits-20990101-000000",
        "trials   20, 2 at once, 1 CPU each",
        "...",
        "confirm  4, 2 at once, 1 CPU each",
        "...",
        "",
        "Took 2 s",
    ]
    assert text.split("```")[2:] == PAGE.split("```")[2:]


def test_a_command_is_run_again_where_its_output_is_written(
    pictures: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran = []

    def run(folder: Path, *words: str) -> str:
        ran.append(words)
        return "seven.png: 7 99.00%\n"

    monkeypatch.setattr(pictures, "run", run)
    text = pictures.with_sessions(PAGE, tmp_path)
    assert ran == [("-m", "tune.predict", "seven.png")]
    assert text == PAGE.replace("1 10.00%", "7 99.00%")
