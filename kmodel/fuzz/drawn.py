"""Hypothesis, as far as a campaign needs it: it draws workloads until one shows a bug."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings

from kmodel.explore.signature import Signature
from kmodel.fuzz.target import Target
from kmodel.fuzz.workload import Workload


class Bug(Exception):
    """An example shows a bug. Each signature has a subclass of its own, which is how
    Hypothesis tells two failures apart."""


class Over(BaseException):
    """The turn ends here; no failure of any example."""


_KINDS: dict[Signature, type[Bug]] = {}


def bug(signature: Signature) -> type[Bug]:
    """Always the same class for the same signature."""
    return _KINDS.setdefault(signature, type(f"Bug{len(_KINDS)}", (Bug,), {}))


def draw(target: Target, number: int, examples: int, example: Callable[[Workload], None]) -> None:
    """Call ``example`` so often, until it raises ``Bug`` or ``Over``. The same for the same
    ``number``. Raises ``Flaky`` if a workload raised ``Bug`` and did not when run again."""

    def once(workload: Workload) -> None:
        example(workload)

    test = settings(
        max_examples=examples,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )(seed(number)(given(target.workloads())(once)))
    try:
        test()
    except Over:
        pass
    except (Bug, BaseExceptionGroup) as error:
        for one in error.exceptions if isinstance(error, BaseExceptionGroup) else (error,):
            if not isinstance(one, Bug):
                raise one from None
