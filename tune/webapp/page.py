"""The page on which registered models are tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from tune.base.commands import PROGRAM
from tune.base.environment import prepare_environment
from tune.base.errors import ConfigError
from tune.tracking.server import check_tracking, is_there, open_client, tracking_uri

if TYPE_CHECKING:
    from tune.tracking.schema import Version
    from tune.tracking.server import Client


def show_page() -> None:
    """Show the page."""
    prepare_environment()
    st.set_page_config(page_title="resnet-tune")
    st.title("Try a model", anchor=False)
    with st.spinner("Starting"):
        from tune.webapp.panels import plain
    try:
        _page()
    except ConfigError as error:
        st.error(plain(error))


def _page() -> None:
    """Show what can be shown.

    Raises:
        ConfigError: The registry cannot be reached, or does not give what is asked.
    """
    from tune.tracking.client import FAILURES
    from tune.webapp.panels import show

    check_tracking(tracking_uri(None))
    try:
        found = _choose(open_client(None)) if is_there(None) else None
        if found is None:
            st.info("No model is registered here yet. This searches for one, and registers it:")
            st.code(f"{PROGRAM} search", language=None)
            st.caption("Then reload this page.")
        else:
            show(*found)
    except FAILURES as error:
        raise ConfigError(f"MLflow does not give what is asked: {error}") from error


def _choose(client: Client) -> tuple[Version, bool] | None:
    """The chosen version, and whether it is the champion; None if there are no models."""
    from tune.models.champion import champion_of, versions_of
    from tune.tracking.queries import find_models

    models = find_models(client)
    names = sorted(model.name for model in models if model.latest_versions)
    if not names:
        return None
    left, right = st.columns(2)
    name = left.selectbox("Model", names)
    versions, champion = versions_of(client, name), champion_of(client, name)
    numbers = [str(version.version) for version in versions]
    best = None if champion is None else str(champion.version)
    number = right.selectbox(
        "Version",
        numbers,
        index=numbers.index(best) if best in numbers else 0,
        format_func=lambda number: f"{number} (champion)" if number == best else number,
        key=f"version of {name}",
    )
    return versions[numbers.index(number)], number == best
