"""The explorer: runs tasks in every order that matters, and judges what it saw.

Knows points, shared state and worlds (floor 0) and nothing of the kernel, so it
works on any tasks written against ``kmodel.point`` and ``kmodel.shared``.
"""
