"""Workloads that broke something, in example databases of Hypothesis: the folder of this
directory, and a Redis server that several machines share, if one is asked for.

What is stored is the workload itself and not Hypothesis' choices, so that it survives an edit
of the target; one that does not fit any more is passed over. The name in the database says
which form that is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase

from kmodel.fuzz.target import Target
from kmodel.fuzz.workload import Workload
from kmodel.settings import UsageError

FORM: Final = "kmodel.workload/1 "
WAIT: Final = 3.0
"""Seconds that a server may take for an answer."""


class Stored:
    """``folder`` on this machine; ``url`` of a Redis server (``redis://host:port/number``).

    Raises ``UsageError`` if the server cannot be had, ``OSError`` if nothing can be written
    to the folder. If the server goes away later, ``lost`` says so, and the folder goes on
    alone. ``unkept`` counts what the folder could not take, ``unfit`` what no target can run.
    """

    def __init__(self, folder: str, url: str | None = None) -> None:
        self.lost = ""
        self.unfit = 0
        self.unkept = 0
        Path(folder).mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass  # the database would not say that it cannot write
        self._here: ExampleDatabase = DirectoryBasedExampleDatabase(folder)
        self._there = _redis(url) if url else None

    def keep(self, workload: Workload) -> bool:
        """Is it in the folder now?"""
        key, value = _key(workload.target), workload.word().encode()
        kept = self._saved(key, value)
        self.unkept += not kept
        self._ask(lambda there: there.save(key, value))
        return kept

    def _saved(self, key: bytes, value: bytes) -> bool:
        """The database does not say that it cannot write, and leaves a torn value as it is."""
        self._here.save(key, value)
        if value not in self._here.fetch(key):
            self._here.delete(key, value)
            self._here.save(key, value)
        return value in self._here.fetch(key)

    def forget(self, workload: Workload) -> None:
        """Here. Where others look it stays, until it has not been looked at for a week."""
        self._here.delete(_key(workload.target), workload.word().encode())

    def of(self, target: Target) -> list[Workload]:
        """All that fit, always in the same order; ``unfit`` counts the rest."""
        key = _key(target.name)
        values = {*self._here.fetch(key), *(self._ask(lambda there: set(there.fetch(key))) or ())}
        found = []
        for value in sorted(values, key=lambda value: (len(value), value)):
            try:
                workload = Workload.read(value.decode())
                target.fits(workload)
                found.append(workload)
            except (ValueError, TypeError, AttributeError):  # a UsageError is a ValueError
                self.unfit += 1
        return found

    def _ask(self, question: Callable[[ExampleDatabase], Any]) -> Any:
        """The server, unless it is gone."""
        if self._there is None:
            return None
        try:
            return question(self._there)
        except Exception as error:  # whatever the library raises: a night goes on without it
            self._there, self.lost = None, f"{type(error).__name__}: {error}"
            return None


def _key(target: str) -> bytes:
    return (FORM + target).encode()


def _redis(url: str) -> ExampleDatabase:
    """A server that answers. ``UsageError`` says what is missing."""
    try:
        from hypothesis.extra.redis import RedisExampleDatabase
        from redis import Redis, RedisError, exceptions
    except ImportError as error:
        raise UsageError(
            f"--database needs the library 'redis' ({error}): pip install 'kmodel[redis]'"
        ) from error
    told = re.sub(r"//[^/@]*@", "//", url)  # without a password
    try:
        server = Redis.from_url(url, socket_timeout=WAIT, socket_connect_timeout=WAIT)
        server.ping()
    except ValueError as error:
        raise UsageError(
            f"--database {told}: {error}. It looks like redis://localhost:6379/0."
        ) from error
    except (
        exceptions.AuthenticationError,
        exceptions.AuthorizationError,
        exceptions.BusyLoadingError,
        exceptions.ResponseError,
    ) as error:
        raise UsageError(
            f"--database {told}: the server there answers: {error}. The address is "
            "redis://USER:PASSWORD@HOST:PORT/NUMBER, what is not needed left out."
        ) from error
    except (RedisError, OSError) as error:
        raise UsageError(
            f"--database {told}: no Redis server answers there ({error}). Start one with "
            "'redis-server', or leave --database out: failures are stored in a folder anyway."
        ) from error
    return RedisExampleDatabase(server)
