"""What the trials took, and what the store saved."""

from __future__ import annotations

from tests.helpers.commands import DIGITS
from tests.helpers.results import add_trial
from tests.helpers.studies import ledger_in_memory
from trainable.data.datasets import Dataset
from tune.config.loading import load_config
from tune.reporting.compute import compute_of
from tune.reporting.results import SearchResults


def test_what_the_store_saved_is_counted_by_hand(dataset: Dataset) -> None:
    ledger = ledger_in_memory(load_config(DIGITS))
    for number in range(2):  # both heads only, no augmentation, 2 epochs
        add_trial(ledger, [0.5, 0.5])
        ledger.trials[number].params.update({"model.unfreeze_depth": 0, "augment.policy": "none"})
    spent = compute_of(SearchResults("two", ledger, dataset))
    images = len(dataset.train) + len(dataset.val)
    assert (spent.asked, spent.computed, spent.saved) == (4 * images, images, 0.75)
    assert (spent.epochs, spent.seconds) == (4, 2.0)
