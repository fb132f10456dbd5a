"""A workload of 'kmodel fuzz': operations for a few CPUs, held against its target's oracles.

``workload`` is its document as one line of JSON, as the tokens of 'kmodel fuzz' carry it, so that
they need no file. The one that is here by default strands a request of pool_get: a put looks
for requests just when another CPU has them off the queue to serve them.
"""

from kmodel import World, parameter, scenario
from kmodel.fuzz import Workload, play

STRANDED = (
    '{"target":"pool",'
    '"params":{"primed":true,"pages":1,"items":1,"hardlimit":0},'
    '"operations":[[1,"get",true],[0,"get",false],[0,"put"]]}'
)


@scenario
def workload(
    world: World, workload: str = parameter(STRANDED, text="a workload, as one line of JSON")
) -> None:
    play(world, Workload.read(workload))
