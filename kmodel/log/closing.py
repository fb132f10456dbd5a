"""What a ``with`` closes at its end, however that comes."""

from __future__ import annotations

from typing import Self


class Closing:
    """Has a ``close``, which may be called twice, and is a context that calls it."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
