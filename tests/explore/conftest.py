"""How much the random tests try: KMODEL_FUZZ_SEED moves to fresh programs, and
KMODEL_FUZZ_SCALE multiplies their number."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def fuzz_seed() -> int:
    return int(os.environ.get("KMODEL_FUZZ_SEED", "0")) * 1_000_000


@pytest.fixture(scope="session")
def fuzz_scale() -> int:
    return int(os.environ.get("KMODEL_FUZZ_SCALE", "2"))
