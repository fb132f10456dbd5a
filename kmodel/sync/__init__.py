"""Floor 1: sleep channels, mutexes, sleeping locks. All waiting stands on these."""
