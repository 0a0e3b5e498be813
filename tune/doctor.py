"""`python -m tune.doctor`: what would stop a search from running here, or from running well."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from tune.base.environment import connect_to
from tune.base.errors import DONE, FAILED, ConfigError
from tune.base.finding import Finding
from tune.checks.examination import examine
from tune.checks.judged import JudgedConfig
from tune.checks.lines import json_text, print_finding, print_table
from tune.cli import AddressOption, ConfigOption, Door, OverridesArgument, open_console
from tune.config.loading import load_config
from tune.config.presets import DEFAULT
from tune.config.schema import SearchConfig

app = Door("tune.doctor")


@app.command()
def main(
    overrides: OverridesArgument = None,
    config: ConfigOption = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Close the runs that dead searches have left RUNNING.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    cluster: Annotated[
        bool,
        typer.Option("--cluster", help="Check each node of the cluster that RAY_ADDRESS names."),
    ] = False,
    address: AddressOption = None,
) -> int:
    """Check whether a search would run in this folder, and say how to fix what would stop it.

    Each line is ok, warn (a search runs, but not as well as it could) or fail (it would not
    run). The first says which config is judged: the default, or the one that a search would be
    started with. Nothing is created or changed, except by `--fix`; with `--cluster` each node reads
    the images, as before a search.

    Examples:
    `python -m tune.doctor`

    `python -m tune.doctor --config image_folder data.root=photos`

    `python -m tune.doctor --fix`

    `python -m tune.doctor --json`

    `python -m tune.doctor --cluster --address auto tracking.storage=s3://bucket/prefix`

    Exit code: 0 nothing fails, 1 something does, 2 a mistake in the command.
    """
    connect_to(address)
    settings = load_config(config, overrides or [])
    if cluster:
        return _examine_cluster(settings, as_json=as_json)
    words = [str(config or DEFAULT), *(overrides or [])]
    judged = JudgedConfig(" ".join(words) if config or overrides else None, settings)
    findings = []
    for finding in examine(judged, fix=fix):
        findings.append(finding)
        if not as_json:
            print_finding(finding, open_console(soft_wrap=True))
    if as_json:
        print(json_text([asdict(finding) for finding in findings]))
    return _code(findings)


def _examine_cluster(config: SearchConfig, *, as_json: bool) -> int:
    """Ask each node of a cluster, and print a table of them with what is wrong."""
    from tune.checks.cluster import COLUMNS, check_alike, row
    from tune.checks.cluster import ExaminedNode as Node
    from tune.checks.nodes import describe, now, own_images, question_of, skew
    from tune.engine.survey import looked_at_together, survey

    if not os.environ.get("RAY_ADDRESS"):
        raise ConfigError("--cluster: name one by --address HOST, or by RAY_ADDRESS")
    question = question_of(config)
    alone = survey(describe, question, now)
    fingerprint, findings = own_images(config)
    seen = (question.storage, config.data, config.cache.of_images, fingerprint)
    together, of_storage = looked_at_together(alone, *seen)
    nodes = [
        Node(
            *(one.name, one.resources, one.value, one.error, skew(one.clock, *one.between)),
            unseen=one.unseen,
            images=one.images,
        )
        for one in together
    ]
    findings += of_storage
    findings += [each for node in nodes for each in node.findings] + list(check_alike(nodes))
    if as_json:
        shown = [{**asdict(node), "state": node.state} for node in nodes]
        print(json_text({"nodes": shown, "findings": [asdict(each) for each in findings]}))
    else:
        wide = open_console(width=max(120, 14 * len(COLUMNS)))
        print_table(COLUMNS, [row(node) for node in nodes], wide)
        for finding in findings:
            print_finding(finding, open_console(soft_wrap=True))
    return _code(findings)


def _code(findings: Sequence[Finding]) -> int:
    return FAILED if any(finding.state == "fail" for finding in findings) else DONE


if __name__ == "__main__":
    app()
