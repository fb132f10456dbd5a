"""``intrsafe-full``: the interrupt-safe map has no address left, and memory is plentiful.

Only table pages that come from that map can lack its addresses.
"""

SUMMARY = "the interrupt-safe map's addresses exhausted, memory plentiful"
SCENARIO = "fresh_tables"
PARAMS = {
    "npages": 64,
    "kva_pages": 24,
    "kmem_pages": 8,
    "vp_stock": 0,
    "cpus": 1,
    "header_stock": 8,
    "short": "interrupt-safe addresses",
}
VARIANTS = {"lap": ("wakes", "silent"), "other": ("stays", "exits")}
PROPERTIES = ("KVA exhaustion is diagnosed", "nobody waits for what is there")


def cannot(fix: str) -> str | None:
    """Why there is no such cell, if there is none."""
    if fix == "intrsafe":
        return None
    return "only intrsafe takes table pages from the interrupt-safe map"
