"""``oom-swap``: no page is free beyond the reserve, and swap has room.

The page daemon must write pages of an idle process to swap, one after the other; nobody
need die for that.
"""

SUMMARY = "memory gone, swap has room: pages of an idle process must be written out first"
SCENARIO = "memory_gone"
PARAMS = {
    "npages": 19,
    "swap_pages": 100,
    "swap_used": 50,
    "vp_stock": 1,
    "anon_stock": 8,
    "pageout": True,
    "idle": 4,
    "cpus": 1,
}
VARIANTS = {"lap": ("wakes", "silent"), "touch": ("fresh", "swapped")}
PROPERTIES = ("justified kill", "nobody waits for what is there", "ends")
