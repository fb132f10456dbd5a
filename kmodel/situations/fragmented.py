"""``fragmented``: half of memory is free, and no two free pages lie side by side.

With addresses of kernel_map the two pages of a table may lie anywhere. Without, in the
direct map, they must be neighbours.
"""

SUMMARY = "memory plentiful, and no two free pages side by side"
SCENARIO = "fresh_tables"
PARAMS = {"npages": 128, "fragmented": True, "vp_stock": 0, "short": "pages side by side"}
VARIANTS = {"lap": ("wakes", "silent"), "rwlock": ("wake-all", "wake-one-writer")}
PROPERTIES = ("justified kill", "no refault livelock", "ends")
