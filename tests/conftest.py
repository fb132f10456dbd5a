"""Nothing but a place: it lets every test import ``worlds``, which lies beside it."""

pytest_plugins = ["pytester"]
