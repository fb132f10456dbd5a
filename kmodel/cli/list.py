"""``kmodel list``: what there is."""

from __future__ import annotations

from typing import Any, Final

import click

from kmodel.cli.options import as_json, print_json, styled

LONGEST: Final = 40
"""Characters of a default that are shown."""


@click.command("list")
@click.option("--params", "with_params", is_flag=True, help="Also every parameter, with its range.")
@click.option("--properties", is_flag=True, help="Also what a design is held against, by name.")
@as_json
def list_all(with_params: bool, properties: bool, as_json: bool) -> None:
    """Scenarios, fixes, situations and strategies, with one line each.

    \b
    Examples:
      kmodel list
      kmodel list --params
      kmodel list --properties
    """
    found = _found()
    if as_json:
        print_json({"schema": "kmodel.list/1", **found})
        return
    for title in ("scenarios", "fixes", "situations", "strategies", "searches"):
        placed = title == "situations"
        click.echo(styled("situations [and their scenarios]" if placed else title, bold=True))
        _lines(_with_stories(found[title]) if placed else found[title])
    if properties:
        click.echo(
            styled(
                'properties (m.must("NAME") or --set must=NAME asks for one that is not always '
                "judged)",
                bold=True,
            )
        )
        _lines(found["properties"])
    if with_params:
        click.echo(styled("parameters of every scenario (--set NAME=VALUE)", bold=True))
        _lines({p["name"]: _describe(p) for p in found["parameters"]["machine"]})
        for scenario, params in found["parameters"]["scenarios"].items():
            click.echo(styled(f"parameters of {scenario}", bold=True))
            _lines({p["name"]: _describe(p) for p in params})


def _lines(rows: dict[str, str]) -> None:
    width = max(map(len, rows), default=0)
    for name, text in rows.items():
        click.echo(f"  {name:<{width}}  {text}")


def _with_stories(summaries: dict[str, str]) -> dict[str, str]:
    """Each situation with the scenario that plays in it: what ``explore --situation`` is for."""
    from kmodel import situations

    return {
        name: f"{summary} [{situations.load(name).scenario}]" for name, summary in summaries.items()
    }


def _describe(param: dict[str, Any]) -> str:
    allowed = " to ".join(map(str, param["range"])) if "range" in param else ""
    allowed = allowed or ", ".join(map(str, param.get("options", ())))
    default = param["default"]
    if isinstance(default, bool):
        allowed, default = "true or false", str(default).lower()
    elif isinstance(default, str) and len(default) > LONGEST:
        default = f"{default[:LONGEST]}..."
    said = [*filter(None, [allowed]), f"default {default}" if default != "" else "default: none"]
    return f"{param['text']} ({'; '.join(said)})".strip()


def _found() -> dict[str, Any]:
    import attrs

    from kmodel import fixes, situations, story
    from kmodel.explore.strategy import STRATEGIES
    from kmodel.param import KernelParams
    from kmodel.properties import PROPERTIES

    scenarios = {name: story.load(name) for name in story.names()}
    return {
        "scenarios": {name: loaded.summary for name, loaded in scenarios.items()},
        "fixes": {name: fixes.load(name).summary for name in fixes.names()},
        "situations": {name: situations.load(name).summary for name in situations.names()},
        "strategies": STRATEGIES,
        "searches": {
            "dfs": "every reachable state, depth first; exact and complete within the limits",
            "bfs": "the same, breadth first: what a limit cuts off is what lies deepest",
            "bounded": "all schedules with at most --bound preemptions, safety only",
            "delay": "all schedules at most --bound delays away from round robin, safety only",
            "symmetric": "one of all states that differ in which like task is which, safety only",
        },
        "properties": {name: one.sentence for name, one in PROPERTIES.items()},
        "parameters": {
            "machine": _params(attrs.fields(KernelParams)),
            "scenarios": {n: _params(attrs.fields(s.own)) for n, s in scenarios.items()},
        },
    }


def _params(fields: Any) -> list[dict[str, Any]]:
    return [
        {"name": field.name, "default": field.default, **dict(field.metadata)} for field in fields
    ]
