"""``churn``: another thread unmaps and maps the same address while it faults.

Memory is plentiful, and kernel_map's lock is taken now and then, so that the fault waits
with no lock held while its mapping goes and comes.
"""

SUMMARY = "another thread unmaps and maps the faulting address; kernel_map locked meanwhile"
SCENARIO = "unmapped_meanwhile"
PARAMS = {"npages": 64, "vp_stock": 0, "cpus": 1}
VARIANTS = {"lap": ("wakes", "silent"), "rounds": (1, 0)}
PROPERTIES = ("no use after free", "populated is not mapped", "no refault livelock", "ends")
