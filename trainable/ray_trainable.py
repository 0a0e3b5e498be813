"""The trial as Ray Tune runs it."""

from __future__ import annotations

import json
import platform
from contextlib import suppress
from typing import Any, NotRequired, TypedDict

from ray import tune

from trainable.base.errors import first_line
from trainable.checkpoints import Checkpoints, NoSpaceError
from trainable.config import DataConfig, ModelConfig, TrialConfig
from trainable.data.datasets import load_dataset
from trainable.data.forms.remote import DataAwayError
from trainable.device import is_out_of_memory, release_memory
from trainable.files.remote import StorageAwayError, place_at
from trainable.finetuner import DivergedError, FineTuner
from trainable.judging.validated import keep_validated
from trainable.network.weights import first_weights_hash
from trainable.runtime import ImageCache, Runtime


class TrialSpec(TypedDict):
    """What Ray passes to a trial.

    Attributes:
        number: The trial's number in its search, from 0.
        trial: A :class:`TrialConfig`, dumped as JSON.
        folder: The folder or the address of its checkpoints; every node must see it.
        runtime: A :class:`Runtime`, as a dictionary.
        fingerprint: The images' with which the search was started; they are not checked without.
        weights_hash: Of the first weights with which the search was started; they are not checked
            without.
        owner: The name of a file of the search beside its trials' folders, which a node that sees
            the same storage finds; not looked for without.
        search: The identity of the search, which that file names.
    """

    number: int
    trial: dict[str, Any]
    folder: str
    runtime: dict[str, Any]
    fingerprint: NotRequired[str]
    weights_hash: NotRequired[str]
    owner: NotRequired[str]
    search: NotRequired[str]


class FineTuneTrainable(tune.Trainable):
    """A :class:`FineTuner` as a Ray trainable: one step is one epoch.

    Every step's result holds the metrics of :meth:`FineTuner.train_epoch`, the `epoch`,
    `finished` (the trial ended itself, rather than being stopped), and what else its metrics
    depend on: `device`, `precision`, `threads`, `micro_batches`, `compiled` and `processor`.
    Instead of these there may be an `error`, with which the trial has failed for good, or `halt`,
    why no trial can go on.

    After each epoch it writes a checkpoint, before the result is reported. A trial whose folder
    holds one goes on from there: its first step reports that epoch's result again, in case it
    was lost. Ray's own checkpoints are not used: they are copied once more, and belong to
    one run of Ray.

    An epoch that runs out of memory is started again with the batches in two parts. Where
    images or first weights are not those of the search, there is no epoch, and no trial can go on;
    where they cannot be fetched at the moment, this one alone fails, to be begun again elsewhere.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Build the trial of a :class:`TrialSpec`, or go on with it."""
        self._trial = TrialConfig.model_validate(config["trial"])
        self._runtime = Runtime(**config["runtime"])
        self._folder = config["folder"]
        self._checkpoints = Checkpoints(self._folder, self._trial)
        self._unreported: dict[str, Any] | None = None
        self._best: dict[str, Any] | None = None
        self._away: DataAwayError | None = None
        self._halt = _why_not_here(self._folder, config.get("owner"), config.get("search"))
        if self._halt is None:
            try:
                self._halt = self._begin(config.get("fingerprint"), config.get("weights_hash"))
            except StorageAwayError as error:
                self._halt = _on_this_node(error)
            except DataAwayError as error:
                self._away = DataAwayError(_on_this_node(error))

    def step(self) -> dict[str, Any]:
        """Train an epoch.

        Raises:
            DataAwayError: The images cannot be fetched to this node at the moment.
        """
        if self._away is not None:
            raise self._away
        if self._halt is not None:
            return {"halt": self._halt, "done": True}
        try:
            metrics, self._unreported = self._unreported or self._epoch(), None
        except (DivergedError, OutOfMemoryError) as error:
            return {"error": f"{type(error).__name__}: {error}", "done": True}
        except NoSpaceError as error:
            return {"halt": str(error), "done": True}
        except StorageAwayError as error:
            return {"halt": _on_this_node(error), "done": True}
        finished, device = self._tuner.finished, self._tuner.device
        return {
            **metrics,
            "finished": finished,
            "done": finished,
            "device": device.torch_device.type,
            "precision": device.precision,
            "threads": device.num_threads,
            "micro_batches": self._tuner.micro_batches,
            "compiled": self._tuner.compiled,
            "processor": device.identity,
        }

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial in the same process, which keeps the data in memory."""
        self.setup(new_config)
        return True

    def _begin(self, fingerprint: str | None, weights_hash: str | None) -> str | None:
        """Build the trial, unless images or weights are not its own: then why none can go on."""
        why = why_no_data(self._trial.data, self._runtime.image_cache, fingerprint)
        why = why or _why_other_weights(self._trial.model, weights_hash)
        if why is None:
            self._go_on(micro_batches=1)
        return why

    def _go_on(self, micro_batches: int) -> None:
        """Build the trial, as it was after its last checkpoint if there is one."""
        state = self._checkpoints.last()
        if state is not None:
            micro_batches = max(micro_batches, state["micro_batches"])
        self._tuner = FineTuner.on(self._runtime, self._trial, micro_batches)
        self._unreported = self._best = None
        if state is not None:
            self._tuner.load_state_dict(state["tuner"])
            self._unreported, self._best = state["metrics"], state["best"]

    def _epoch(self) -> dict[str, Any]:
        try:
            return self._train_epoch()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = first_line(error)
        # Out of the handler, whose error holds on to the tensors of the step that failed.
        if self._tuner.micro_batches > 1:
            share = self._runtime.memory_fraction
            of_share = f" and {share:.3g} of the GPU's memory" if share else ""
            raise OutOfMemoryError(f"even with batches in two parts{of_share}: {reason}")
        del self._tuner
        release_memory()
        self._go_on(micro_batches=2)
        self._unreported = None
        return self._epoch()

    def _train_epoch(self) -> dict[str, Any]:
        metrics: dict[str, Any] = self._tuner.train_epoch()
        metrics["epoch"] = self._tuner.epoch
        rank = self._tuner.objective.rank
        # Without validation images there is no better epoch than the last.
        better = self._best is None or rank(metrics) > rank(self._best)
        better = better or self._trial.data.keeps_no_validation
        if better:
            self._best = metrics
            self._keep_validated()
        state = {
            "tuner": self._tuner.state_dict(),
            "micro_batches": self._tuner.micro_batches,
            "metrics": metrics,
            "best": self._best,
        }
        self._checkpoints.save(state, best=better)
        return metrics

    def _keep_validated(self) -> None:
        """Keep what a trial on a fold answers there: its checkpoints go once it has ended.

        Before the checkpoint, so that it is never behind that. It can be made again.
        """
        data = self._trial.data
        if data.fold is not None and not data.keeps_no_validation:
            with suppress(OSError):
                keep_validated(self._folder, self._tuner.evaluate("val"))


def _on_this_node(error: Exception) -> str:
    return f"on {platform.node()}, {first_line(error)}"


def _why_not_here(folder: str, owner: str | None, search: str | None) -> str | None:
    """Why a trial may not write where it would from this node, if it may not.

    No other node would see its checkpoints, or they would be amid another search's.
    """
    if owner is None:
        return None
    above = folder.rstrip("/").rpartition("/")[0]
    try:
        found = json.loads(place_at(above).read(owner))
    except FileNotFoundError:
        return (
            f"{platform.node()} does not see the search's files in {above}: mount that folder "
            "there, take that node away, or give --storage another that every node sees"
        )
    except StorageAwayError as error:
        return _on_this_node(error)
    except (OSError, ValueError) as error:
        return f"{platform.node()} cannot read {above}/{owner}: {first_line(error)}"
    if search in {found.get("search"), found.get("identity")}:
        return None
    return f"{above} has the files of another search of this name, as {platform.node()} sees it"


def why_no_data(config: DataConfig, cache: ImageCache, fingerprint: str | None) -> str | None:
    """Why the images of this machine are not those of a search, if they are not.

    Args:
        config: The images of a trial.
        cache: Where they are kept once they are decoded.
        fingerprint: The search's; they need only be there without one.

    Raises:
        DataAwayError: They cannot be fetched at the moment: it cannot be known.
    """
    where = f"data.root={config.root}" if config.root else f"data.source={config.source}"
    try:
        # Of a fold's trial the search knows the images, and not how they are divided.
        found = {load_dataset(each, cache).fingerprint for each in (config.unfolded, config)}
    except DataAwayError:
        raise
    except (ValueError, OSError) as error:
        return f"{platform.node()} cannot read the images of the search: {first_line(error)}"
    if fingerprint is None or fingerprint in found:
        return None
    return (
        f"{where} on {platform.node()}: these are not the images, or not the splits, with which "
        "the search was started; put them back as they were, or start another search"
    )


def _why_other_weights(model: ModelConfig, weights_hash: str | None) -> str | None:
    """Why the first weights of this machine are not those of a search, if they are not.

    Raises:
        DataAwayError: They cannot be downloaded at the moment.
    """
    weights, node = model.weights[0], platform.node()
    if weights_hash is None or weights == "random":
        return None
    try:
        found = first_weights_hash(weights, model.arch)
    except ValueError as error:
        if weights == "imagenet":
            raise DataAwayError(first_line(error)) from error
        return f"{node} cannot read the weights of the search: {first_line(error)}"
    if found == weights_hash:
        return None
    return (
        f"model.weights={weights} on {node}: these are not the weights with which the search was "
        "started; put the same file there, or start another search"
    )


class OutOfMemoryError(MemoryError):
    """A trial needs more memory than there is."""
