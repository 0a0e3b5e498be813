"""How `resources.gpu=auto` comes to a fraction."""

from __future__ import annotations

import io
from threading import Event
from typing import Any

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.helpers.commands import DIGITS
from trainable.config import TrialConfig
from trainable.device import CONTEXT_BYTES, tensor_share
from trainable.rehearsal import DataShape, MemoryNeed, measure_need
from tune.base.environment import prepare_environment
from tune.config.loading import load_config
from tune.config.schema import SearchConfig
from tune.engine.fractions import MAX_TRIALS_PER_GPU, SLACK, heaviest, tightest, trials_per_gpu
from tune.engine.nodes import Answer, name_of
from tune.engine.readiness import share_of_each
from tune.engine.resources import TrialResources

GB = 10**9


def search(*words: str) -> SearchConfig:
    return load_config(DIGITS, words)


def told(trials: list[TrialConfig]) -> set[tuple[int, str]]:
    return {(trial.model.unfreeze_depth, trial.augment.policy) for trial in trials}


class TestHeaviest:
    def test_of_the_default_space_it_is_among_the_two_deepest(self) -> None:
        # flip_crop and none keep no more than trivial, of which a GPU keeps the whole view.
        assert told(heaviest(search())) == {(4, "trivial"), (5, "trivial")}

    def test_a_mirrored_view_is_tried_beside_a_random_one(self) -> None:
        config = search("data.mirror=true", "space.augment.policy=[none, rand, flip, flip_crop]")
        assert told(heaviest(config)) == {(4, "flip"), (4, "rand"), (5, "flip"), (5, "rand")}

    def test_of_policies_that_keep_alike_the_one_that_works_on_more_is_tried(self) -> None:
        config = search("space.augment.policy=[flip_crop, none]", "model.unfreeze_depth=5")
        assert told(heaviest(config)) == {(5, "flip_crop")}

    def test_what_is_not_searched_is_as_in_every_trial(self) -> None:
        (only,) = heaviest(search("model.unfreeze_depth=1", "augment.policy=none"))
        assert told([only]) == {(1, "none")}
        assert only.train == search().base.train

    def test_the_shallowest_of_a_space_is_not_tried(self) -> None:
        config = search("space.model.unfreeze_depth.high=3", "augment.policy=none")
        assert told(heaviest(config)) == {(2, "none"), (3, "none")}

    def test_every_architecture_is_tried(self) -> None:
        archs = {"resnet18", "wide_resnet50_2", "resnet152"}
        words = (f"space.model.arch=[{', '.join(archs)}]", "model.weights=random")
        assert {trial.model.arch for trial in heaviest(search(*words))} == archs

    @pytest.mark.parametrize(
        ("word", "heavy"),
        [
            ("space.train.batch_size=[32, 512, 64]", {"train": {"batch_size": 512}}),
            ("space.train.batch_size={low: 16, high: 99}", {"train": {"batch_size": 99}}),
            ("space.data.image_size=[64, 32]", {"data": {"image_size": 64}}),
            ("space.optim.name=[sgd, adam]", {"optim": {"name": "adam"}}),
            ("space.augment.mixup=[0.0, 0.4]", {"augment": {"mixup": 0.4}}),
            ("space.augment.cutmix={low: 0.0, high: 1.0}", {"augment": {"cutmix": 1.0}}),
            ("space.train.precision=[bf16, fp32]", {"train": {"precision": "fp32"}}),
        ],
    )
    def test_of_every_key_it_has_the_value_that_takes_most(
        self, word: str, heavy: dict[str, dict[str, object]]
    ) -> None:
        for trial in heaviest(search(word)):
            for part, fields in heavy.items():
                for field, value in fields.items():
                    assert getattr(getattr(trial, part), field) == value


class TestTrialsPerGpu:
    @pytest.mark.parametrize(
        ("peak", "total", "expected"),
        [
            (4 * GB, 141 * GB, MAX_TRIALS_PER_GPU),
            (30 * GB, 141 * GB, 4),
            (60 * GB, 141 * GB, 2),
            (80 * GB, 141 * GB, 1),
            (141 * GB, 141 * GB, 1),
            (2 * GB, 8 * GB, 2),
        ],
    )
    def test_as_many_as_its_memory_holds(self, peak: int, total: int, expected: int) -> None:
        assert trials_per_gpu(MemoryNeed(peak, total)) == expected

    def test_what_could_be_computed_again_takes_a_quarter_of_a_share_at_most(self) -> None:
        # Measured on an H100 at 192 px: two renditions' outputs of the stem took 26 GB.
        assert trials_per_gpu(MemoryNeed(9 * GB + 26 * GB, 85 * GB)) == 2
        assert trials_per_gpu(MemoryNeed(9 * GB, 85 * GB, kept=26 * GB)) == 5
        assert trials_per_gpu(MemoryNeed(9 * GB, 85 * GB, kept=GB // 10)) == 7

    @given(peak=st.integers(10**6, 150 * GB), total=st.integers(4 * GB, 200 * GB))
    def test_each_ones_share_holds_what_it_needs(self, peak: int, total: int) -> None:
        trials = trials_per_gpu(MemoryNeed(peak, total))

        if trials > 1:
            assert tensor_share(1 / trials, total) * total >= peak * SLACK - 1
            assert trials * (peak + CONTEXT_BYTES) <= total


SMALL, LARGE = MemoryNeed(4 * GB, 16 * GB), MemoryNeed(4 * GB, 80 * GB)


@pytest.mark.parametrize("order", [(SMALL, LARGE), (LARGE, SMALL)])
def test_where_gpus_differ_the_one_that_holds_the_fewest_trials_decides(
    order: tuple[MemoryNeed, ...],
) -> None:
    said: list[str] = []
    found = tightest([Answer(f"node-{n}", need) for n, need in enumerate(order)], said.append)
    assert found == SMALL
    assert said == [
        "the nodes' GPUs have 16.0 to 80.0 GB; the share is that of the one that holds the fewest "
        "trials"
    ]


def test_a_node_that_was_not_measured_is_named_and_none_is_no_measure() -> None:
    said: list[str] = []
    answers = [
        Answer("one", LARGE),
        Answer("two", error="no answer in 180 s"),
        Answer("three", None),
    ]
    assert tightest(answers, said.append) == LARGE
    assert said == [
        "two was not measured (no answer in 180 s)",
        "three was not measured (it sees no GPU)",
    ]
    assert tightest([], said.append) is None
    assert tightest(answers[1:], said.append) is None


def node(number: int, **resources: float) -> dict[str, Any]:
    address = f"10.0.0.{number}"
    return {
        "NodeID": f"id{number}",
        "NodeManagerHostname": f"node-{number}",
        "NodeManagerAddress": address,
        "Resources": resources,
        "Alive": True,
    }


NODES = [
    node(1, CPU=8.0),
    node(2, CPU=1.0, GPU=1.0),
    node(3, CPU=8.0, GPU=1.0),
    node(4, CPU=16.0, GPU=2.0),
]


def printed(config: SearchConfig) -> tuple[TrialResources, str]:
    stream = io.StringIO()
    return share_of_each(config, Console(file=stream, width=500)), stream.getvalue()


@pytest.mark.parametrize(
    ("values", "gpu", "told"),
    [
        ((LARGE, SMALL), 1 / 3, "4.0 GB of 16.0 GB needed by the heaviest trial"),
        ((None, LARGE), 0.25, "node-3 (10.0.0.3) was not measured (no answer in 180 s)"),
        ((None, None), 1.0, "could not be measured: each has one to itself"),
    ],
)
def test_a_whole_gpu_is_asked_for_on_each_node_that_feeds_one_and_none_is_shared_unmeasured(
    values: tuple[MemoryNeed | None, ...],
    gpu: float,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nodes of which it is noted what they are asked, in the place of a cluster with GPUs."""
    asked: list[dict[str, Any]] = []

    def ask(*_: object, seconds: float, nodes: list[Any], **options: Any) -> list[Answer]:
        asked.append({"nodes": [each["NodeID"] for each in nodes], **options})
        late = f"no answer in {seconds:g} s"
        return [
            Answer(name_of(each), value, None if value else late)
            for each, value in zip(nodes, values, strict=True)
        ]

    monkeypatch.setattr("tune.engine.fractions.alive_nodes", lambda: NODES)
    monkeypatch.setattr("tune.engine.fractions.ask_each", ask)
    monkeypatch.setattr(ray, "nodes", lambda: NODES)
    resources, said = printed(search("resources.cpu=2", "resources.gpu=auto"))
    assert asked == [
        {
            "nodes": ["id3", "id4"],
            "ends_processes": True,
            "resources": {"num_cpus": 2, "num_gpus": 1},
        }
    ]
    assert told in said
    assert resources.gpu == gpu


@pytest.mark.slow
def test_where_another_search_has_a_share_of_the_gpu_a_trial_waits_for_one_to_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tune.engine.fractions._SECONDS", 2)
    prepare_environment()
    own = {"address": "local", "include_dashboard": False, "log_to_driver": False}
    ray.init(num_cpus=8, num_gpus=1, **own)
    try:
        other = ray.remote(num_gpus=0.25, num_cpus=1)(Event).remote()  # type: ignore[call-overload]
        ray.get(other.is_set.remote())
        resources, said = printed(search("resources.cpu=1", "resources.gpu=auto"))
    finally:
        ray.shutdown()
    assert "was not measured (no answer in 2 s)" in said
    assert (resources.gpu, resources.concurrent) == (1.0, 1)


def test_without_a_gpu_there_is_nothing_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert measure_need(heaviest(search()), DataShape(100, 20, 12, 10)) is None


@pytest.mark.parametrize(
    ("word", "on_cpu", "on_gpu"),
    [
        ("cache.max_gb=1", 10**9, 0),
        ("cache.enabled=true", 20 * 10**9, 20 * 10**9),
        ("cache.enabled=false", 0, 0),
    ],
)
def test_a_gpus_activations_go_to_disk_only_if_asked_for(
    word: str, on_cpu: int, on_gpu: int
) -> None:
    cache = search(word).cache
    assert cache.max_bytes(on_gpu=False) == on_cpu
    assert cache.max_bytes(on_gpu=True) == on_gpu
