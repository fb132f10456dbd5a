"""``contention-no-swap``: the situation of the thread on a machine without swap.

Memory is as plentiful as in ``contention``. Without swap ``uvm_swapisfull`` is true all
the time, so that the fault path takes the first refusal for the end of all memory.
"""

SUMMARY = "memory plentiful, no swap at all, vp pool empty, kernel_map's lock contended for ever"
SCENARIO = "contended_kernel_map"
PARAMS = {"swap_pages": 0, "vp_stock": 0}
VARIANTS = {"lap": ("wakes", "silent"), "rwlock": ("wake-all", "wake-one-writer")}
PROPERTIES = ("justified kill", "no refault livelock", "ends")
