"""The panels of the page: a model's predictions on images, and the search that it comes from."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Final

import streamlit as st
from plotly.graph_objects import Figure
from torch import Tensor

from trainable.data.decoding.image_file import MAX_BYTES, ImageError
from trainable.inference.calibration import Calibration
from trainable.inference.classifier import Classifier
from trainable.inference.spec import Spec
from trainable.judging.metrics import EPOCH_METRICS
from tune.base.errors import ConfigError, first_line
from tune.models.lineage import Origin, read_origin
from tune.models.lookup import UNREADABLE, find_version, load_registered
from tune.reporting.figures.trials import STATES_CAPTION, learning_curves
from tune.reporting.predictions import confused_pairs, confusion, confusion_caption
from tune.tracking.server import open_client
from tune.tracking.tags import VersionTags
from tune.webapp.examples import HeldOut, Picture, draw, held_out_of, mistakes
from tune.webapp.gradcam import Explanation, explain

if TYPE_CHECKING:
    from tune.tracking.schema import Version

_MOST: Final = 24
"""The number of uploads that are shown at once."""

_PICTURE: Final = 147
"""Width in pixels: two stand side by side in a card, also on a phone."""

_RANDOM, _MISTAKES = "At random", "Its mistakes"
_UNKNOWN: Final = "the predictions of this version on its test images are not recorded"


def show(version: Version, is_champion: bool) -> None:
    """Show a registered model."""
    uri = f"models:/{version.name}/{version.version}"
    _facts(version, is_champion, _classifier(uri))
    images, search = st.tabs(["Images", "Its search"], on_change="rerun", key="tab")
    with images:
        _images(version, uri)
    if search.open:  # each trial takes a request, and there may be hundreds
        with search, _warning():
            _search(version, _classifier(uri))


def plain(text: object) -> str:
    """A text escaped, so that Markdown shows it as it is."""
    return re.sub(f"([{re.escape(string.punctuation)}])", r"\\\1", str(text))


def _facts(version: Version, is_champion: bool, classifier: Classifier) -> None:
    spec, tags = classifier.spec, VersionTags.of(version)
    accuracy, objective = tags.accuracy, tags.objective
    facts = [f"{len(spec.classes)} classes", f"{spec.image_size} × {spec.image_size} pixels"]
    if accuracy is not None:
        sure = f" ({tags.sureness})" if tags.sureness else ""
        facts.append(f"test accuracy {accuracy:.2%}{sure}")
    if tags.test is not None and objective.name not in EPOCH_METRICS:
        facts.append(f"{objective.title('test')} {objective.show(tags.test)}")
    if spec.unsure_below > 0:
        below = min(spec.unsure_below, 1)
        facts.append("never sure" if below == 1 else f"unsure below {below:.0%}")
    badge = ":green-badge[:material/trophy: champion] " if is_champion else ""
    st.markdown(f"{badge}:small[:gray[{' · '.join(facts)}]]")


def _images(version: Version, uri: str) -> None:
    pictures = [*_uploads(_classifier(uri))]
    with _warning():
        pictures += _examples(version, _classifier(uri).spec)
    if not pictures:
        return
    shown = [(picture, _explanation(uri, picture.image)) for picture in pictures]
    for start in range(0, len(shown), 2):
        row = shown[start : start + 2]
        for column, (picture, explanation) in zip(st.columns(2), row, strict=False):
            with column:
                _card(picture, explanation)
    if pictures[-1].truth is not None and st.session_state["examples"] == _RANDOM:
        page = st.session_state.get("page", 0)
        st.button(
            "Show others",
            icon=":material/refresh:",
            on_click=st.session_state.__setitem__,
            args=("page", page + 1),
        )
    side = len(shown[0][1].heat)
    st.caption(
        "Left: the image as the network sees it. Right: Grad-CAM of its first prediction, which "
        f"has a resolution of {side} × {side}."
    )


def _uploads(classifier: Classifier) -> Iterator[Picture]:
    """The images that were uploaded. The page says why one cannot be read."""
    limit = MAX_BYTES // 2**20
    files = st.file_uploader(
        # Of any name: what an image is, its content says.
        "Your images",
        None,
        accept_multiple_files=True,
        max_upload_size=limit,
        key="files",
    )
    if len(files) > _MOST:
        st.info(f"The first {_MOST} of {len(files)} images are shown.")
    for file in islice(files, _MOST):
        try:
            yield Picture(file.name, classifier.read([file])[0])
        except ImageError as error:
            st.error(plain(error))


def _examples(version: Version, spec: Spec) -> list[Picture]:
    """The test images that were asked for.

    Raises:
        ConfigError: They are not available.
    """
    which = st.segmented_control("Its test images", [_RANDOM, _MISTAKES], key="examples")
    if which is None:
        return []
    origin = _origin(version.name, version.version)
    held_out = _held_out(version.name, version.version)
    if which == _RANDOM:
        return draw(held_out, st.session_state.get("page", 0))
    if origin.test is None:
        raise ConfigError(_UNKNOWN)
    if origin.test.right.all():
        st.success("No test image is misclassified.")
    return mistakes(held_out, Calibration(spec.temperature).of(origin.test))


def _card(picture: Picture, explanation: Explanation) -> None:
    answer, _ = explanation.answers[0]
    with st.container(border=True, gap="small"):
        badges = (
            f"{_badge(picture.truth, explanation.label)}{' :orange[unsure]' * explanation.unsure}"
        )
        st.markdown(f":small[:gray[{plain(picture.name)}]] {badges}")
        with st.container(horizontal=True, gap="small"):
            st.image(explanation.seen, width=_PICTURE, alt=picture.name)
            st.image(explanation.overlay(), width=_PICTURE, alt=f"Grad-CAM of {answer}")
        with st.container(gap="xsmall"):
            for name, probability in explanation.answers:
                st.progress(probability, f"{plain(name)} · {probability:.1%}")


def _badge(truth: str | None, answer: str) -> str:
    if truth is None:
        return ""
    told = plain(truth or "without a label")
    return ":green-badge[right]" if truth == answer else f":red-badge[it is {told}]"


def _search(version: Version, classifier: Classifier) -> None:
    origin, classes = _origin(version.name, version.version), classifier.spec.classes
    _figure(
        f"Learning curves of {len(origin.trials)} trials",
        learning_curves(origin.trials, origin.objective),
        STATES_CAPTION,
    )
    if origin.test is None:
        raise ConfigError(_UNKNOWN)
    if origin.test.truth is not None:  # of several labels, none is taken for another
        return
    _figure(
        f"Confusion on {len(origin.test.labels)} test images",
        confusion(classes, origin.test),
        confusion_caption(len(classes)),
    )
    pairs = confused_pairs(classes, origin.test)
    if pairs is not None:
        _figure("Most confused", pairs, "The pairs of classes with the most mistakes.")


def _figure(title: str, figure: Figure, caption: str) -> None:
    st.subheader(title, anchor=False)
    figure.update_layout(margin={"t": 8, "b": 8, "l": 8, "r": 8})
    st.plotly_chart(figure, config={"displayModeBar": False})
    st.caption(caption)


@st.cache_resource(max_entries=4, show_spinner="Loading the model")
def _classifier(uri: str) -> Classifier:
    client = open_client(None)
    try:
        return load_registered(client, find_version(client, uri))
    except UNREADABLE as error:
        raise ConfigError(f"{uri} cannot be loaded: {first_line(error)}") from error


@st.cache_resource(
    max_entries=256,
    show_spinner=False,
    hash_funcs={"torch.Tensor": lambda image: image.numpy().tobytes()},
)
def _explanation(uri: str, image: Tensor) -> Explanation:
    return explain(_classifier(uri), image[None], count=3)[0]


@st.cache_resource(max_entries=4, ttl="1m", show_spinner="Reading the record of its search")
def _origin(name: str, number: str) -> Origin:
    client = open_client(None)
    return read_origin(client, client.get_model_version(name, number))


@st.cache_resource(max_entries=1, show_spinner="Reading its test images")
def _held_out(name: str, number: str) -> HeldOut:
    client = open_client(None)
    return held_out_of(client, client.get_model_version(name, number))


@contextmanager
def _warning() -> Iterator[None]:
    """Say what cannot be shown here, and go on with the rest of the page."""
    try:
        yield
    except ConfigError as error:
        st.warning(plain(error))
