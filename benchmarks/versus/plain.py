"""Fine-tuning ResNet18 with plain Ray Tune: what the fast path is measured against.

Written as Ray Tune's own PyTorch tutorial and the usual transfer-learning programs are: an
image folder read with PIL, torchvision's transforms in a DataLoader with workers, layers frozen
by `requires_grad`, a checkpoint an epoch, MLflow through Ray's own callback. It is written to be
good at that: frozen layers stay in eval mode and get no gradient, the validation runs without
gradients, the DataLoader keeps its workers, and batches are large enough.

Three settings, which tutorials leave at their defaults, tune it for the processor: `precision`
(float32, or bf16 by autocast), `channels_last`, and `reuse_actors`.

    python benchmarks/versus/plain.py settings.json

It trains every trial of the settings' `trials`, or searches for `num_samples` trials with
OptunaSearch and ASHA. Given `until`, a time since the epoch in seconds, it starts no result after
that, and tests the best checkpoint.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4", "head")
NORMALIZE = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def train(config: dict[str, Any]) -> None:
    """One trial: the settings, with this trial's own values."""
    config = {**config, **config.get("trial", {})}
    train_loader, val_loader = loaders(config)
    model = build_model(config, len(train_loader.dataset.classes))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = optimizer_of(config, trained)
    steps = config["epochs"] * len(train_loader)
    scheduler = scheduler_of(config, optimizer, steps)
    criterion = nn.CrossEntropyLoss()
    layout, autocast = computing(config)
    model.to(memory_format=layout)
    for epoch in range(config["epochs"]):
        set_train_mode(model)
        for images, labels in train_loader:
            optimizer.zero_grad()
            with autocast:
                laid_out = images.contiguous(memory_format=layout)
                loss = mixed_loss(model, laid_out, labels, criterion, config["mixup"])
            loss.backward()
            optimizer.step()
            scheduler.step()
        with autocast:
            val_loss, val_acc = validate(model, val_loader, criterion, layout)
        report(epoch, model, optimizer, {"val_loss": val_loss, "val_acc": val_acc})


def computing(config: dict[str, Any]) -> tuple[torch.memory_format, torch.autocast]:
    """How images and weights lie in memory, and the precision that they are multiplied in."""
    layout = torch.channels_last if config["channels_last"] else torch.contiguous_format
    return layout, torch.autocast("cpu", torch.bfloat16, enabled=config["precision"] == "bf16")


def loaders(config: dict[str, Any]) -> tuple[DataLoader, DataLoader]:
    """The training images, augmented and in random order, and those for validation."""
    root, size = Path(config["root"]), config["image_size"]
    plain = [transforms.Resize((size, size)), transforms.ToTensor(), NORMALIZE]
    augmented = transforms.Compose([*augmentation(config), *plain])
    train_set = ImageFolder(root / "train", transform=augmented)
    val_set = ImageFolder(root / "val", transform=transforms.Compose(plain))
    workers: dict[str, Any] = {"num_workers": config["workers"], "persistent_workers": True}
    return (
        DataLoader(train_set, config["batch_size"], shuffle=True, drop_last=True, **workers),
        DataLoader(val_set, 128, **workers),
    )


def augmentation(config: dict[str, Any]) -> list[Any]:
    """What torchvision has for a policy, on images smaller than the network's input."""
    side = config["side"]
    crop = [transforms.RandomHorizontalFlip()] if config["mirror"] else []
    crop.append(transforms.RandomCrop(side, padding=side // 8, padding_mode="reflect"))
    return {
        "none": [],
        "flip": [transforms.RandomHorizontalFlip()],
        "flip_crop": crop,
        "trivial": [*crop, transforms.TrivialAugmentWide()],
        "rand": [*crop, transforms.RandAugment()],
    }[config["policy"]]


def build_model(config: dict[str, Any], classes: int) -> nn.Module:
    """A pretrained ResNet18 with a new head, frozen below the unfreeze depth."""
    model = resnet18()
    state = torch.load(config["weights"], weights_only=True)
    backbone = {name: value for name, value in state.items() if not name.startswith("fc.")}
    model.load_state_dict(backbone, strict=False)
    model.fc = nn.Linear(model.fc.in_features, classes)
    trained = STAGES[len(STAGES) - 1 - config["unfreeze_depth"] :]
    for name, parameter in model.named_parameters():
        parameter.requires_grad = stage_of(name) in trained
    return model


def stage_of(name: str) -> str:
    """The stage that a parameter or module belongs to."""
    top = name.split(".", maxsplit=1)[0]
    return {"conv1": "stem", "bn1": "stem", "fc": "head"}.get(top, top)


def set_train_mode(model: nn.Module) -> None:
    """Train mode, but for frozen BatchNorm, which keeps its pretrained statistics."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
            module.eval()


def optimizer_of(config: dict[str, Any], trained: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam or AdamW on what is trained."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config["optimizer"]]
    return kind(trained, lr=config["lr"], weight_decay=config["weight_decay"])


def scheduler_of(
    config: dict[str, Any], optimizer: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """A learning rate that moves with each batch."""
    if config["schedule"] == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config["lr"], total_steps=steps, pct_start=config["warmup"]
    )


def mixed_loss(
    model: nn.Module, images: Tensor, labels: Tensor, criterion: nn.Module, alpha: float
) -> Tensor:
    """The loss of a batch, after MixUp where `alpha` is above 0."""
    if alpha == 0:
        return criterion(model(images), labels)
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    order = torch.randperm(len(images))
    logits = model(share * images + (1 - share) * images[order])
    return share * criterion(logits, labels) + (1 - share) * criterion(logits, labels[order])


@torch.no_grad()
def validate(
    model: nn.Module, loader: DataLoader, criterion: nn.Module, layout: torch.memory_format
) -> tuple[float, float]:
    """Mean loss and accuracy on the validation images."""
    model.eval()
    loss, right = 0.0, 0
    for images, labels in loader:
        logits = model(images.contiguous(memory_format=layout))
        loss += criterion(logits, labels).item() * len(labels)
        right += (logits.argmax(1) == labels).sum().item()
    count = len(loader.dataset)
    return loss / count, right / count


def report(
    epoch: int, model: nn.Module, optimizer: torch.optim.Optimizer, metrics: dict[str, float]
) -> None:
    """Tell Ray the metrics, with a checkpoint."""
    state = {"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    with tempfile.TemporaryDirectory() as folder:
        torch.save(state, Path(folder) / "checkpoint.pt")
        tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))


def searched(settings: dict[str, Any]) -> dict[str, Any]:
    """The space: what such programs search, on the digits unless told otherwise."""
    return {
        "lr": tune.loguniform(1e-4, 1e-2),
        "weight_decay": tune.loguniform(1e-5, 1e-1),
        "unfreeze_depth": tune.randint(settings.get("least_depth", 0), 6),
        "policy": tune.choice(settings.get("policies", ["none", "flip_crop", "trivial", "rand"])),
    }


def search_config(settings: dict[str, Any]) -> tune.TuneConfig:
    """A search with OptunaSearch and ASHA."""
    return tune.TuneConfig(
        metric="val_acc",
        mode="max",
        search_alg=OptunaSearch(seed=settings.get("seed")),
        scheduler=ASHAScheduler(
            max_t=settings["epochs"], grace_period=settings["grace_epochs"], reduction_factor=3
        ),
        num_samples=settings["num_samples"],
        reuse_actors=settings["reuse_actors"],
        time_budget_s=settings["until"] - time.time() if "until" in settings else None,
    )


def test_accuracy(settings: dict[str, Any], best: ray.tune.Result) -> float:
    """The accuracy of the best checkpoint on the test images."""
    checkpoint = best.get_best_checkpoint("val_acc", "max")
    size, root = settings["image_size"], Path(settings["root"]) / "test"
    fitted = [transforms.Resize((size, size)), transforms.ToTensor(), NORMALIZE]
    images = ImageFolder(root, transform=transforms.Compose(fitted))
    model = build_model({**settings, **best.config}, len(images.classes))
    with checkpoint.as_directory() as folder:
        state = torch.load(Path(folder) / "checkpoint.pt", weights_only=True)
    model.load_state_dict(state["model"])
    loader = DataLoader(images, 128)
    return validate(model, loader, nn.CrossEntropyLoss(), torch.contiguous_format)[1]


def main() -> None:
    """Run the trials of a settings file, and record them in `mlflow.db` here."""
    settings = json.loads(Path(sys.argv[1]).read_text())
    trials = settings.pop("trials", None)
    choices = searched(settings) if trials is None else {"trial": tune.grid_search(trials)}
    recorder = MLflowLoggerCallback("sqlite:///mlflow.db", experiment_name="plain")
    ray.init(include_dashboard=False, log_to_driver=False)
    listed = tune.TuneConfig(reuse_actors=settings["reuse_actors"])
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": settings["cpus"]}),
        param_space={**settings, **choices},
        tune_config=listed if trials else search_config(settings),
        run_config=tune.RunConfig(
            name="plain", storage_path=str(Path("ray").resolve()), callbacks=[recorder], verbose=0
        ),
    )
    best = tuner.fit().get_best_result("val_acc", "max", scope="all")
    print(f"best validation accuracy {best.metrics['val_acc']:.4f}")
    if "until" in settings:
        print(json.dumps({"test_acc": test_accuracy(settings, best)}))


if __name__ == "__main__":
    main()
