"""What several figures have in common."""

from __future__ import annotations

from plotly.graph_objects import Figure


def labelled(figure: Figure, x: str, y: str, percent: str = "") -> Figure:
    """Title the axes of a figure.

    Args:
        figure: The figure, which is changed.
        x: The title of its x axis.
        y: The title of its y axis.
        percent: Which of them are shares to be shown in percent: `x`, `y` or `xy`.
    """
    formats = {f"{axis}axis_tickformat": ".0%" for axis in percent}
    return figure.update_layout(xaxis_title=x, yaxis_title=y, **formats)


def add_diagonal(figure: Figure, name: str, end: float = 1.0) -> None:
    """Draw the line on which both axes have the same value."""
    figure.add_scatter(
        x=[0, end], y=[0, end], mode="lines", name=name, line={"dash": "dot", "color": "gray"}
    )
