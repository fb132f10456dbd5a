"""Amounts of time on the command line."""

from __future__ import annotations

from typing import Any

import click


class Amount(click.FloatRange):
    """A number within bounds. nan, which compares as within any, is none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if number != number:
            self.fail(f"{value!r} is no number.", param, ctx)
        return number
