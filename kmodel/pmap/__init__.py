"""Floor 3: page tables (arm64). ``pmap.py`` never sleeps, ``populate.py`` may."""
