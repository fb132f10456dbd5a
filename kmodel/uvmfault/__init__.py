"""The parts of ``uvm_fault`` (sys/uvm/uvm_fault.c), in the order in which a fault meets
them: what it carries (flt), an amap of its own (amapcopy), fault-ahead (neighbours), its
anon's page (upper, anonget) or an object's (lower), a page made for it (promote), and the
page in the middle (centre)."""
