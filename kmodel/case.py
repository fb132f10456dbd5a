"""A case: a scenario, all its parameters, a fix. What is run, searched and replayed."""

from __future__ import annotations

import shlex
from typing import Any, Final

import attrs

from kmodel import fixes, settings, situations, story
from kmodel.asked import Asked
from kmodel.explore.purity import building
from kmodel.log.record import Header
from kmodel.param import KernelParams
from kmodel.revision import revision
from kmodel.vm.pool import Pool
from kmodel.world import World

DEFAULT_FIX: Final = "wait"
ASSUMPTIONS: Final = (
    "sequential consistency",
    "one thread a CPU, no interrupts",
    "steps run from point to point (justified where no data race is found)",
)


@attrs.frozen
class Case:
    """What is run: a scenario, all its parameters, a fix, and a situation's name. A story
    without a kernel has neither ``kernel`` nor fix nor situation. ``asked``, if it is
    there, hears what the worlds that are built ask of the kernel's parameters and the fix."""

    scenario: story.Scenario
    own: dict[str, Any]
    kernel: KernelParams | None
    fix: str | None
    situation: str | None = None
    asked: Asked | None = attrs.field(default=None, eq=False)

    @classmethod
    def of(
        cls,
        name: str,
        given: dict[str, Any],
        fix: str | None = None,
        situation: str | None = None,
    ) -> Case:
        """Load and check everything; ``UsageError`` names what is not there. Without a
        ``fix`` the kernel does what it did: ``wait``. Of a ``situation``'s variants it is the
        first, where ``given`` does not say."""
        if fix is not None and fix not in fixes.names():
            raise settings.UsageError(f"No fix {fix!r}.{settings.did_you_mean(fix, fixes.names())}")
        params: dict[str, Any] = {}
        if situation is not None:
            if situation not in situations.names():
                hint = settings.did_you_mean(situation, situations.names())
                raise settings.UsageError(f"No situation {situation!r}.{hint}")
            params |= situations.load(situation).first()
        with building():
            loaded = story.load(name)
        if situation is not None:
            _fits(loaded, situation)
        built = {} if loaded.bare else _built(fix or DEFAULT_FIX, given)
        given = {**params, **built, **given}
        own, kernel = settings.structure(
            loaded.own, {**loaded.needs(given), **given}, not loaded.bare
        )
        if not loaded.bare:
            return cls(loaded, own, kernel, fix or DEFAULT_FIX, situation)
        if fix or situation:
            raise settings.UsageError(
                f"{name} is a story without a kernel (it asks for a World): it has neither a fix "
                "nor a situation."
            )
        return cls(loaded, own, None, None)

    def build(self) -> World:
        with building():
            kernel, fix = self.kernel, fixes.load(self.fix) if self.fix else None
            if self.asked is not None and kernel is not None and fix is not None:
                kernel, fix = self.asked.heard(kernel, fix)
            return self.scenario.build(self.own, kernel, fix)

    def like(self, other: Case) -> bool:
        """Is all that ``other`` was heard to ask the same here?"""
        if (self.scenario.digest, self.own) != (other.scenario.digest, other.own):
            return False
        if self.kernel is None or self.fix is None or other.asked is None:
            return False
        return other.asked.would_be(self.kernel, fixes.load(self.fix))

    @property
    def params(self) -> dict[str, Any]:
        return self.own | (attrs.asdict(self.kernel) if self.kernel else {})

    @property
    def called(self) -> str:
        """The scenario, its fix and what was set, as one types them."""
        fix = f" --fix {self.fix}" if self.fix else ""
        sets = [f" --set {shlex.quote(f'{k}={v}')}" for k, v in self.differing().items()]
        return f"{self.scenario.name}{fix}{''.join(sets)}"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What any verdict on it rests on."""
        if self.kernel is None:
            return ASSUMPTIONS
        return (*ASSUMPTIONS, f"lock policy {self.kernel.rwlock}")

    def differing(self) -> dict[str, Any]:
        """The parameters that are not the defaults, or that the story has defaults of its own
        for: what a token must carry. What follows from others is not."""
        machine = self.scenario.machine
        follows = {k: v for k, v in self.scenario.needs(self.own).items() if callable(machine[k])}
        defaults = attrs.asdict(self.scenario.own()) | attrs.asdict(KernelParams()) | follows
        own = machine.keys() - follows.keys()
        return {k: v for k, v in self.params.items() if v != defaults[k] or k in own}

    def header(self, world: World, strategy: str, seed: int | None, token: str | None) -> Header:
        return Header(
            scenario=self.scenario.name,
            scenario_digest=self.scenario.digest,
            model=revision(),
            tasks=tuple(task.name for task in world.tasks),
            params=self.params,
            fix=self.fix,
            situation=self.situation,
            strategy=strategy,
            seed=seed,
            token=token,
            assumptions=ASSUMPTIONS,
            pools={pool.name: pool.nout for pool in world.objects if isinstance(pool, Pool)},
        )


def _fits(scenario: story.Scenario, situation: str) -> None:
    """``UsageError`` if the situation sets what the scenario does not have."""
    place = situations.load(situation)
    known = {field.name for cls in (scenario.own, KernelParams) for field in attrs.fields(cls)}
    missing = [name for name in place.first() if name not in known]
    if missing and not scenario.bare:
        raise settings.UsageError(
            f"Situation {situation!r} is not for {scenario.name}: it sets {', '.join(missing)}, "
            f"which that scenario does not have. It is made for {place.scenario}: take that."
        )


def _built(fix: str, given: dict[str, Any]) -> dict[str, Any]:
    """What makes a kernel the one with that fix. ``UsageError`` if something else is given;
    sizes may differ."""
    built = dict(fixes.load(fix).params)
    for key, value in built.items():
        if isinstance(value, str) and given.get(key, value) != value:
            raise settings.UsageError(
                f"{key}={given[key]}: fix {fix!r} is the one with {key}={value}; leave {key} out, "
                "or take another fix."
            )
    return built
