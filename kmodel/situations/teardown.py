"""``teardown``: the process exits while other threads of it fault.

Memory is plentiful, and kernel_map's lock is taken now and then, so that faults wait with
no lock held while the process goes.
"""

SUMMARY = "the process exits while its threads fault; kernel_map locked meanwhile"
SCENARIO = "exit_meanwhile"
PARAMS = {"npages": 64, "vp_stock": 1}
VARIANTS = {"lap": ("wakes", "silent")}
PROPERTIES = ("no use after free", "no leak", "ends")
