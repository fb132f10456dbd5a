"""``oom``: no page is free beyond the reserve, and swap is full (no swap is the same).

Nothing can be paged out. A process that touches a fresh page can only be killed, which
gives back what it had; one whose page is on swap waits for memory without a look at swap.
"""

SUMMARY = "memory gone and swap full: nothing can be paged out"
SCENARIO = "memory_gone"
PARAMS = {
    "npages": 17,
    "swap_pages": 100,
    "swap_used": 100,
    "vp_stock": 0,
    "anon_stock": 8,
    "pageout": True,
    "idle": 0,
    "own": 2,
    "cpus": 2,
}
VARIANTS = {"lap": ("wakes", "silent"), "touch": ("fresh", "swapped")}
PROPERTIES = ("justified kill", "ends")
