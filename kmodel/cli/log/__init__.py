"""``kmodel log``: look into the event logs that runs leave behind.

Rich and the readers are imported where they are used: ``kmodel --help`` stays light.
"""

from __future__ import annotations

import click

from kmodel.cli.log.diff import diff
from kmodel.cli.log.eval import evaluate
from kmodel.cli.log.explain import explain
from kmodel.cli.log.export import export
from kmodel.cli.log.query import query
from kmodel.cli.log.schema import schema
from kmodel.cli.log.show import show
from kmodel.cli.log.stats import stats
from kmodel.cli.log.timeline import timeline


@click.group()
def log() -> None:
    """Inspect the event logs of runs.

    RUN is the name of a run under --logs, a directory, or a file (.gz too). Each command
    reads as far as a log can be trusted, says what is wrong from there on, and ends with 5.

    \b
    Examples:
      kmodel log show contended_kernel_map-wait-seed7-1 --obj kernel_map
      kmodel log timeline contended_kernel_map-wait-seed7-1 --html run.html
      kmodel log explain contended_kernel_map-wait-seed7-1
      kmodel log stats contended_kernel_map-wait-seed7-1
      kmodel log eval contended_kernel_map-wait-seed7-1 'kernel_map.writer == "K"'
    """


for command in (show, timeline, explain, diff, stats, query, evaluate, export, schema):
    log.add_command(command)
