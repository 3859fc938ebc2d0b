"""The declaration of a function, read from its file: parameters, annotations, defaults and documentation.

    declared("convscope.experiments.project", "project")  # has the signature of `project`; torch is not imported

`--help` and forms need signatures at once, and the modules of the functions import torch, which takes seconds. So the
`def` is compiled alone, without its body. A name in it is evaluated where its file binds it: an assignment in the same
way, an import from one of our modules in that module's file. The standard library and `convscope.parameters` are
imported. Any other name, such as that of a class, becomes an empty class of this name.
"""

import ast
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from importlib.abc import InspectLoader
from importlib.util import find_spec
from threading import RLock
from typing import Any

IMPORTED = {*sys.stdlib_module_names, "convscope.parameters"}
OURS = __name__.split(".")[0]

_lock = RLock()  # Python 3.11 before 3.11.5 cannot parse in two threads at once
Binding = tuple[ast.stmt, str]  # a statement, and for an import what it imports


@cache
def declared(module: str, name: str) -> Callable[..., Any]:
    """Return a function with the signature and the documentation of `name` in `module`, that does nothing.

    Raises KeyError where the module's file does not define it.
    """
    with _lock:
        function: Callable[..., Any] = _names(module)[name]
    return function


class _Unknown(type):
    """The class of classes that stand for what is not imported; attributes, items and calls give such a class again."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _unknown(name)

    def __getitem__(cls, item: object) -> Any:
        return cls

    def __call__(cls, *_: object, **__: object) -> Any:
        return cls


def _unknown(name: str) -> Any:
    return _Unknown(name, (), {})


@cache
def _names(module: str) -> "_Names":
    return _Names(module)


class _Names(dict[str, Any]):
    """What the names in a module's file stand for, each evaluated when it is first needed."""

    def __init__(self, module: str) -> None:
        super().__init__()
        spec = find_spec(module)
        assert spec is not None
        assert isinstance(spec.loader, InspectLoader)
        self.file = str(spec.origin)
        self.bindings = dict(_bindings(ast.parse(spec.loader.get_source(module) or "").body))

    def __missing__(self, name: str) -> Any:
        statement, imported = self.bindings[name]  # a KeyError sends Python on to its builtins
        match statement:
            case ast.FunctionDef():
                self._define(statement)
            case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
                self[name] = eval(compile(ast.Expression(value), self.file, "eval"), {}, self)
            case ast.ImportFrom(module=str(module)):
                self[name] = _imported(module, imported)
            case _:
                self[name] = _unknown(name)
        return self[name]

    def _define(self, function: ast.FunctionDef) -> None:
        """Define the function without its body; its documentation stays."""
        documentation = ast.Expr(ast.Constant(ast.get_docstring(function)))
        bare = ast.FunctionDef(function.name, function.args, [documentation], [])
        tree = ast.fix_missing_locations(ast.Module([bare], []))
        exec(compile(tree, self.file, "exec"), {}, self)


def _imported(module: str, name: str) -> Any:
    """What `from module import name` gives, as far as it needs no heavy import."""
    if module in IMPORTED or module.split(".")[0] in IMPORTED:
        return getattr(import_module(module), name)
    if module.split(".")[0] == OURS and name in _names(module).bindings:
        return _names(module)[name]
    return _unknown(name)


def _bindings(statements: Iterable[ast.stmt]) -> Iterator[tuple[str, Binding]]:
    """The names that statements bind, and how; of several bindings the last counts."""
    for statement in statements:
        match statement:
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from ((alias.asname or alias.name, (statement, alias.name)) for alias in names)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, (statement, name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name, (statement, name)
            case ast.If(body=body, orelse=orelse):  # if TYPE_CHECKING
                yield from _bindings([*body, *orelse])
