from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.tune.conftest import DIGITS, SMALL
from trainable.checkpoints import BEST
from trainable.ray_trainable import FineTuneTrainable, TrialSpec
from tune.conclusion import trained
from tune.home import Search, SearchHome
from tune.loading import load_config
from tune.trial_log import FACTS, METRICS, Epoch, TrialLog


@pytest.fixture
def search() -> Search:
    config = load_config(DIGITS, [*SMALL, "model.unfreeze_depth=1", "cache.enabled=false"])
    return Search(name="one", config=config, data_fingerprint="f", weights_hash=None)


@pytest.fixture
def home(tmp_path: Path) -> SearchHome:
    return SearchHome("one", tmp_path)


@pytest.fixture
def winner(search: Search, home: SearchHome) -> TrialLog:
    """A trial that has run, and left its best checkpoint."""
    spec = TrialSpec(
        number=0,
        trial=search.config.base.model_dump(mode="json"),
        folder=str(home.trial(0)),
        threads=1,
        memory_fraction=None,
        cache_root=None,
        cache_bytes=0,
    )
    trainable, log = FineTuneTrainable(config=dict(spec)), TrialLog(0, {}, 0)
    for _ in range(3):
        result = trainable.step()
        log.facts = {name: result[name] for name in FACTS}
        log.epochs.append(Epoch({name: result[name] for name in METRICS}, 0))
    return log


@pytest.mark.parametrize("content", [b"", b"broken", None])
def test_a_best_checkpoint_that_is_broken_or_gone_is_trained_again(
    content: bytes | None, search: Search, home: SearchHome, winner: TrialLog
) -> None:
    whole = trained(search, home, winner)
    path = home.trial(0) / BEST
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"best\.pt cannot be read .* run again"):
        again = trained(search, home, winner)
    assert again.epoch == whole.epoch == winner.best
    # Not the weights: at 16 px layer4 sees one pixel, and oneDNN leaves the gradient of the taps
    # around it, which meet padding alone, as it finds it.
    assert torch.equal(again.evaluate("val").logits, whole.evaluate("val").logits)
