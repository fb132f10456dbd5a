"""A small language for looking at a world: Python's expressions, as far as they only look.

``kernel_map.writer == "K"``, ``pool("vp").nout > 1``, ``any(one.live for one in ...)``.
The expression is read into a tree, the tree is checked, and each kind of node that is
allowed becomes a function; nothing is ever given to ``eval``. There is no assignment, no
call but of the functions named, no attribute whose name begins with ``_``, and no code of
the model runs: an attribute is looked up among the object's own values. Size, numbers,
texts and the turns of loops are bounded.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from kmodel.log.names import Missing, Names, Undefined, field, item

LONGEST: Final = 1000
"""Characters of an expression."""

TURNS: Final = 100_000
"""Turns of loops in one evaluation."""

BITS: Final = 4096
"""Of a number."""

Scope = dict[str, Any]
"""The values of the loops' variables, and of ``TURNS_LEFT``."""

TURNS_LEFT: Final = ""
Function = Callable[[Scope], Any]


class ExpressionError(Exception):
    """The expression cannot be used; the message says what is wrong with it."""


class Expression:
    """An expression about the world that ``names`` belong to. Raises ``ExpressionError``."""

    def __init__(self, text: str, names: Names) -> None:
        if len(text) > LONGEST:
            raise ExpressionError(f"it has {len(text)} characters, and {LONGEST} are the most")
        try:
            tree = ast.parse(text.strip(), mode="eval")
            self._names, self._bound = names, set[str]()
            self._value = self._of(tree.body)
        except SyntaxError as error:
            raise ExpressionError(f"it is no expression of Python: {error.msg}") from error
        except (RecursionError, MemoryError, ValueError) as error:
            raise ExpressionError("it cannot be read: too deeply nested, or no text") from error

    def check(self) -> None:
        """Raise ``ExpressionError`` if it asks for a field that its object never has."""
        try:
            self.value()
        except Missing as error:
            raise ExpressionError(str(error)) from error
        except Undefined:
            # it may be worth something later
            pass

    def value(self) -> Any:
        """What the expression is worth just now. Raises ``Undefined``."""
        try:
            return self._value({TURNS_LEFT: TURNS})
        except Undefined:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise Undefined(str(error)) from error

    def _of(self, node: ast.expr) -> Function:
        make = _NODES.get(type(node))
        if make is None:
            raise ExpressionError(f"{_source(node)!r} is not allowed: an expression can only look")
        return make(self, node)

    def _constant(self, node: ast.Constant) -> Function:
        value = node.value
        if not isinstance(value, (int, str, bool, type(None))):
            raise ExpressionError(f"{_source(node)!r} is not allowed: numbers are whole")
        return lambda scope: value

    def _name(self, node: ast.Name) -> Function:
        name = node.id
        if name in self._bound:
            return lambda scope: scope[name]
        try:
            thing = self._names.named(name)
        except Undefined as error:
            raise ExpressionError(str(error)) from error
        return lambda scope: thing

    def _attribute(self, node: ast.Attribute) -> Function:
        of, name = self._of(node.value), node.attr
        if name.startswith("_"):
            raise ExpressionError(f"{name!r} is not allowed: it begins with '_'")
        return lambda scope: field(of(scope), name)

    def _subscript(self, node: ast.Subscript) -> Function:
        of, at = self._of(node.value), self._of(node.slice)
        return lambda scope: item(of(scope), at(scope))

    def _both(self, node: ast.BoolOp) -> Function:
        parts, until = [self._of(value) for value in node.values], isinstance(node.op, ast.Or)

        def value(scope: Scope) -> Any:
            found = None
            for part in parts:
                found = part(scope)
                if bool(found) is until:
                    break
            return found

        return value

    def _unary(self, node: ast.UnaryOp) -> Function:
        apply, of = _UNARY[type(node.op)], self._of(node.operand)
        return lambda scope: apply(of(scope))

    def _binary(self, node: ast.BinOp) -> Function:
        apply = _BINARY.get(type(node.op))
        if apply is None:
            raise ExpressionError(f"{_source(node)!r} is not allowed: whole numbers only, no **")
        left, right = self._of(node.left), self._of(node.right)
        return lambda scope: _bounded(apply, left(scope), right(scope))

    def _compare(self, node: ast.Compare) -> Function:
        first = self._of(node.left)
        rest = [(_COMPARE[type(op)], self._of(of)) for op, of in zip(node.ops, node.comparators)]

        def value(scope: Scope) -> bool:
            left = first(scope)
            for compare, of in rest:
                right = of(scope)
                if not compare(left, right):
                    return False
                left = right
            return True

        return value

    def _if(self, node: ast.IfExp) -> Function:
        test, yes, no = self._of(node.test), self._of(node.body), self._of(node.orelse)
        return lambda scope: yes(scope) if test(scope) else no(scope)

    def _tuple(self, node: ast.Tuple | ast.List) -> Function:
        parts = [self._of(part) for part in node.elts]
        return lambda scope: tuple(part(scope) for part in parts)

    def _call(self, node: ast.Call) -> Function:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name is None or node.keywords:
            raise ExpressionError(f"{_source(node)!r} is not allowed: nothing of the model is run")
        if name not in FUNCTIONS:
            return self._by_name(name, node)
        call, args = FUNCTIONS[name], [self._of(arg) for arg in node.args]
        return lambda scope: call(*(arg(scope) for arg in args))

    def _by_name(self, kind: str, node: ast.Call) -> Function:
        """``pool("vp")``: one of the world's objects."""
        args = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        if kind in self._names.kinds and len(args) != 1:
            raise ExpressionError(f'{_source(node)!r}: write {kind}("NAME"), the name in quotes')
        try:
            thing = self._names.of_kind(kind, str(next(iter(args), "")))
        except Undefined as error:
            raise ExpressionError(str(error)) from error
        return lambda scope: thing

    def _loop(self, node: ast.GeneratorExp | ast.ListComp) -> Function:
        if len(node.generators) != 1 or node.generators[0].is_async:
            raise ExpressionError(f"{_source(node)!r}: one 'for' is the most")
        (loop,) = node.generators
        over, variables = self._of(loop.iter), _variables(loop.target)
        before = set(self._bound)
        self._bound.update(variables)
        tests, of = [self._of(test) for test in loop.ifs], self._of(node.elt)
        self._bound = before
        alone = isinstance(loop.target, ast.Name)

        def turn(scope: Scope, value: Any) -> Scope:
            scope[TURNS_LEFT] -= 1
            if scope[TURNS_LEFT] < 0:
                raise Undefined(f"more than {TURNS} turns of a loop")
            values = (value,) if alone else tuple(value)
            if len(values) != len(variables):
                raise Undefined(f"{len(values)} values for {len(variables)} names")
            return scope | dict(zip(variables, values))

        def value(scope: Scope) -> tuple[Any, ...]:
            found = []
            for each in items(over(scope)):
                inner = turn(scope, each)
                if all(test(inner) for test in tests):
                    found.append(of(inner))
                # turns of a loop inside count too
                scope[TURNS_LEFT] = inner[TURNS_LEFT]
            return tuple(found)

        return value


def items(value: Any) -> Iterable[Any]:
    """What a loop goes over."""
    return [item(value, index) for index in range(len(value))]


def _variables(target: ast.expr) -> list[str]:
    names = target.elts if isinstance(target, ast.Tuple) else [target]
    found = [name.id for name in names if isinstance(name, ast.Name)]
    if len(found) != len(names):
        raise ExpressionError(f"{_source(target)!r} is not allowed after 'for'")
    return found


def _bounded(apply: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    if not isinstance(left, int) or not isinstance(right, int):
        raise Undefined(f"{_kind(left)} and {_kind(right)}, where whole numbers are wanted")
    if apply is operator.lshift and right > BITS:
        raise Undefined(f"a number of more than {BITS} bits")
    found = apply(left, right)
    if found.bit_length() > BITS:
        raise Undefined(f"a number of more than {BITS} bits")
    return found


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _source(node: ast.AST) -> str:
    return ast.unparse(node)[:60]


def _bits(number: Any) -> int:
    if not isinstance(number, int):
        raise Undefined(f"bits of {_kind(number)}, where a whole number is wanted")
    return number.bit_count()


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "len": len,
    "any": any,
    "all": all,
    "min": min,
    "max": max,
    "sum": sum,
    "bits": _bits,
}
"""What can be called; ``bits`` counts the ones of a number (a bit set such as a free list)."""

_UNARY: Final[dict[type, Callable[[Any], Any]]] = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}

_BINARY: Final[dict[type, Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}


def _is_in(left: Any, right: Any) -> bool:
    return left in right if isinstance(right, str) else left in items(right)


_COMPARE: Final[dict[type, Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: _is_in,
    ast.NotIn: lambda left, right: not _is_in(left, right),
}

_NODES: Final[dict[type, Callable[..., Function]]] = {
    ast.Constant: Expression._constant,
    ast.Name: Expression._name,
    ast.Attribute: Expression._attribute,
    ast.Subscript: Expression._subscript,
    ast.BoolOp: Expression._both,
    ast.UnaryOp: Expression._unary,
    ast.BinOp: Expression._binary,
    ast.Compare: Expression._compare,
    ast.IfExp: Expression._if,
    ast.Tuple: Expression._tuple,
    ast.List: Expression._tuple,
    ast.Call: Expression._call,
    ast.GeneratorExp: Expression._loop,
    ast.ListComp: Expression._loop,
}
