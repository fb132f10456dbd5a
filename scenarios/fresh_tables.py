"""CPUs fault fresh pages of one process, and each needs page tables that are not there.

Nobody holds a lock for long: what is short is in the machine's parameters (addresses of
kernel_map, pages that lie side by side). Another process, whose tables would do, may exit
meanwhile; then what it gives back must be enough for everybody.
"""

from typing import Literal

from kmodel import Machine, parameter, scenario

REGION = 0x20_0000
SHORT = {
    "addresses": "kernel_map had no address left",
    "interrupt-safe addresses": "the interrupt-safe map had no address left",
    "pages side by side": "no two free pages lay side by side",
}


@scenario
def fresh_tables(
    m: Machine,
    cpus: int = parameter(2, 1, 4, "CPUs that fault"),
    other: Literal["none", "stays", "exits"] = parameter(
        "none", text="another process with tables of its own: none, one that stays, one that exits"
    ),
    short: Literal["addresses", "interrupt-safe addresses", "pages side by side"] = parameter(
        "addresses", text="what must be seen to run short, or the story was not told"
    ),
) -> None:
    space = m.process()
    for cpu in range(cpus):
        m.cpu("ABCD"[cpu], space.fault, REGION * (1 + cpu))
    if other != "none":
        owner = m.process("other", threads=1)
        m.resident(owner, REGION, mapped=True)
    if other == "exits":
        m.cpu("X", owner.exit)
    m.sometimes(SHORT[short])
    if short != "pages side by side":
        m.must("KVA exhaustion is diagnosed", "nobody waits for what is there")
