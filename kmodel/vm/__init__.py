"""Floor 2: physical pages, kernel virtual memory, pools, amaps and user maps."""
