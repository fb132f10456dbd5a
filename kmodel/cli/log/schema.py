"""``kmodel log schema``: what stands in a log, for programs and for people."""

from __future__ import annotations

import sys

import click


@click.command()
@click.option("--page", is_flag=True, help="The page for people, in Markdown.")
def schema(page: bool) -> None:
    """Print the JSON Schema of the lines of a log.

    With --page, the page that explains each event and names its counterpart in the kernel
    (docs/events.md). Both are made from one table. A rename makes a new version.

    \b
    Examples:
      kmodel log schema > events.schema.json
      kmodel log schema --page | less
    """
    from kmodel.log import schema as made

    sys.stdout.write(made.page() if page else made.text())
