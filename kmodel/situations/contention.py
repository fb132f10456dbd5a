"""``contention``: the situation of the thread.

Memory is plentiful, swap is there and not full, the vp pool is empty, and a thread
locks, holds and unlocks the kernel map for ever. Nothing is short but the lock.
"""

SUMMARY = "memory plentiful, swap not full, vp pool empty, kernel_map's lock contended for ever"
SCENARIO = "contended_kernel_map"
PARAMS = {"swap_pages": 100, "swap_used": 0, "vp_stock": 0}
VARIANTS = {"lap": ("wakes", "silent"), "rwlock": ("wake-all", "wake-one-writer")}
PROPERTIES = ("no refault livelock", "ends")
