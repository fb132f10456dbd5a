"""What was asked of a case's parameters and of its fix, and what the answers were.

Whatever a search, its checks and its judges do is a function of the answers that they
got. So it holds word for word of every other case that would have answered the same: of a
kernel whose page daemon differs only in what no lap ever came to ask, say.
"""

from __future__ import annotations

from typing import Any, cast

import attrs

from kmodel.fixes import Fix
from kmodel.param import KernelParams


@attrs.define
class Asked:
    """The answers so far, by the name of what was asked for."""

    kernel: dict[str, Any] = attrs.field(factory=dict)
    fix: dict[str, Any] = attrs.field(factory=dict)

    def heard(self, kernel: KernelParams, fix: Fix) -> tuple[KernelParams, Fix]:
        """Both as they are, but that each question to them is noted here."""
        return (
            cast(KernelParams, _Heard(kernel, self.kernel)),
            cast(Fix, _Heard(fix, self.fix)),
        )

    def would_be(self, kernel: KernelParams, fix: Fix) -> bool:
        """Would these have answered the same?"""
        both = ((kernel, self.kernel), (fix, self.fix))
        return all(getattr(of, name) == told for of, said in both for name, told in said.items())


class _Heard:
    """Stands for ``of``, all of whose attributes are constants."""

    __slots__ = ("_of", "_said")

    def __init__(self, of: Any, said: dict[str, Any]) -> None:
        self._of, self._said = of, said

    def __getattr__(self, name: str) -> Any:
        value = self._said[name] = getattr(self._of, name)
        return value
