"""``kva``: kernel_map has no address left, and memory is plentiful.

Table pages cannot be made, whoever waits for what. Either nothing ever comes back, or
another process exits whose tables are enough.
"""

SUMMARY = "kernel_map's addresses exhausted, memory plentiful, swap not full"
SCENARIO = "fresh_tables"
PARAMS = {"npages": 64, "kva_pages": 8, "vp_stock": 0, "cpus": 1, "header_stock": 8}
VARIANTS = {"lap": ("wakes", "silent"), "other": ("stays", "exits")}
PROPERTIES = ("KVA exhaustion is diagnosed", "nobody waits for what is there")
