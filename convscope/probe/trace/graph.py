"""A forward pass written down: every operation on a tensor, in order, whatever way the code spelled it.

    graph = trace(module, inputs)
    graph.taps["relu5"]              # which node a layer's output is
    graph.nodes[12].op               # "conv2d"

Operations are intercepted, not modules, so functional code, reused modules and layers built inside `forward` are all
there. Each is stored out of place. Knows nothing of geometry or rules.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils.weak import WeakIdKeyDictionary

from convscope.errors import LayerError, NetworkError

Function = Callable[..., Any]

INPUT = "input"

# Questions about a tensor, not operations on it.
QUERIES = {
    "size",
    "dim",
    "__get__",
    "__len__",
    "numel",
    "is_floating_point",
    "stride",
    "element_size",
    "ndimension",
}


@cache
def op_name(func: Function) -> str:
    """One name an operation: "relu" for `F.relu`, `torch.relu_` and `Tensor.relu_`; "add" for `+` and `+=`."""
    name = str(resolve_name(func) or getattr(func, "__name__", "?")).rpartition(".")[2]
    if name.startswith("__") and name.endswith("__"):
        bare = name.strip("_")
        plain = bare[1:] if bare[:1] in "ir" and bare[1:] in {"add", "sub", "mul", "truediv", "pow"} else bare
        return {"truediv": "div", "getitem": "__getitem__", "get": "__get__", "len": "__len__"}.get(plain, plain)
    return name.rstrip("_")


def is_inplace(func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether this call overwrites its first argument."""
    name = (resolve_name(func) or "").rpartition(".")[2]
    if name in {"__iadd__", "__isub__", "__imul__", "__itruediv__", "__setitem__"}:
        return True
    if name.endswith("_") and not name.endswith("__"):
        return True
    return bool(_inplace_flag(func, args, kwargs)[0])


@cache
def _parameters(func: Function) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(func).parameters)
    except (ValueError, TypeError):
        return ()


def _inplace_flag(
    func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[bool, tuple[Any, ...], dict[str, Any]]:
    """The `inplace` argument of a call, and the call's arguments with it off."""
    named = dict(kwargs)
    if "inplace" in named:
        return bool(named.pop("inplace")), args, named
    names = _parameters(func)
    place = names.index("inplace") if "inplace" in names else len(args)
    if place < len(args):
        return bool(args[place]), (*args[:place], False, *args[place + 1 :]), named
    return False, args, named


def out_of_place(func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Function, Any, Any]:
    """The same call as one that leaves its arguments alone."""
    name = (resolve_name(func) or "").rpartition(".")[2]
    _, args, named = _inplace_flag(func, args, kwargs)
    if name in {"__iadd__", "__isub__", "__imul__", "__itruediv__"}:
        return getattr(Tensor, name.replace("__i", "__")), args, named
    if name.endswith("_") and not name.endswith("__"):
        home = Tensor if hasattr(Tensor, name.rstrip("_")) else torch.nn.functional
        return getattr(home, name.rstrip("_")), args, named
    return func, args, named


@dataclass(frozen=True)
class Ref:
    """Stands in a node's arguments for the output of another node."""

    node: int


@dataclass
class Node:
    """One operation: `func(*args, **kwargs)` with tensors of this pass as `Ref`; `part` picks of several outputs."""

    index: int
    op: str
    func: Function
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: tuple[int, ...]
    part: int | None = None

    @cached_property
    def inputs(self) -> list[int]:
        """The nodes this one reads, in the order of its arguments."""
        return [leaf.node for leaf in _leaves((self.args, self.kwargs)) if isinstance(leaf, Ref)]

    def __call__(self, values: Mapping[int, Tensor]) -> Tensor:
        """Evaluate on other values of its inputs."""
        result = self.func(*_fill(self.args, values), **_fill(self.kwargs, values))
        output: Tensor = result if self.part is None else result[self.part]
        return output


def _leaves(item: Any) -> Iterator[Any]:
    if isinstance(item, (list, tuple)):
        for child in item:
            yield from _leaves(child)
    elif isinstance(item, dict):
        yield from _leaves(list(item.values()))
    else:
        yield item


def _map(item: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(item, (list, tuple)):
        mapped = [_map(child, function) for child in item]
        return mapped if isinstance(item, list) else tuple(mapped)
    if isinstance(item, dict):
        return {key: _map(child, function) for key, child in item.items()}
    return function(item)


def _fill(item: Any, values: Mapping[int, Tensor]) -> Any:
    return _map(item, lambda leaf: values[leaf.node] if isinstance(leaf, Ref) else leaf)


@dataclass
class Graph:
    """The nodes of one forward pass in order (node 0 is the picture), which node each layer's output is, and which the
    module's own; None where the module returns no single tensor.
    """

    nodes: list[Node]
    taps: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)
    aliased: bool = False
    output: int | None = None
    known: dict[Any, Any] = field(default_factory=dict)  # what has been found out about it

    def once(self, question: Any, answer: Callable[[], Any]) -> Any:
        """What `answer` says, which is asked the first time only."""
        if question not in self.known:
            self.known[question] = answer()
        return self.known[question]

    def node(self, layer: str) -> Node:
        """The node whose output a layer's is; `name` means the last call of a module called more than once."""
        last = f"{layer}#{self.times[layer] - 1}"
        if layer not in self.taps and last not in self.taps:
            raise LayerError(layer, self.taps)
        return self.nodes[self.taps[layer if layer in self.taps else last]]

    def ancestors(self, node: int) -> list[int]:
        """`node` and all it depends on, in order of evaluation."""
        needed = {node}
        for index in range(node, -1, -1):
            if index in needed:
                needed.update(self.nodes[index].inputs)
        return sorted(needed)


def opaque(*arguments: Any) -> Tensor:
    """Stands for a module that hides its operations: it cannot be evaluated again."""
    raise NetworkError("a module that hides its operations cannot be evaluated on other values")


class _Enough(Exception):  # noqa: N818  (not an error: all that was asked for has been seen)
    pass


class _Tracer(TorchFunctionMode):
    def __init__(self, inputs: Tensor, keep: Collection[int]) -> None:
        super().__init__()
        self.last = max(keep, default=-1)
        self.graph = Graph([Node(0, INPUT, lambda: None, (), {}, tuple(inputs.shape))])
        self.node_of = WeakIdKeyDictionary({inputs: 0})
        self.overwritten = WeakIdKeyDictionary()  # tensor -> the node at which it was written through an alias
        self.keep = keep
        self.kept: dict[int, Tensor] = {0: inputs} if 0 in keep else {}

    def __torch_function__(
        self, func: Function, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        refs = self.refs(args, kwargs)
        known = any(isinstance(leaf, Ref) for leaf in _leaves(refs))
        if not known or op_name(func) in QUERIES:
            return func(*args, **kwargs)
        if is_inplace(func, args, kwargs):
            self._before_overwriting(args[0])
        output = func(*args, **kwargs)
        self.write(func, refs, output)
        return output

    def node(self, tensor: Tensor) -> int | None:
        """Which node made a tensor, as it is now."""
        return self.node_of.get(tensor)  # type: ignore[no-untyped-call, no-any-return]

    def refs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call's arguments with the tensors of this pass as `Ref`."""
        return _map((args, kwargs), self._ref)

    def _ref(self, leaf: Any) -> Any:
        node = self.node(leaf) if isinstance(leaf, Tensor) else None
        if node is None:
            return leaf
        base = leaf if leaf._base is None else leaf._base
        self.graph.aliased |= node < self.overwritten.get(base, 0)  # type: ignore[no-untyped-call]
        return Ref(node)

    def _before_overwriting(self, target: Tensor) -> None:
        base = target if target._base is None else target._base
        for tensor in (target, base):
            node = self.node(tensor)
            if node is not None and node in self.kept:
                self.kept[node] = self.kept[node].clone()
        self.overwritten[base] = len(self.graph.nodes)

    def write(self, func: Function, refs: Any, output: Any) -> None:
        func, args, kwargs = out_of_place(func, *refs)
        several = isinstance(output, (tuple, list))
        for part, tensor in enumerate(output if several else [output]):
            if not isinstance(tensor, Tensor):
                continue
            index, shape = len(self.graph.nodes), tuple(tensor.shape)
            self.graph.nodes.append(Node(index, op_name(func), func, args, kwargs, shape, part if several else None))
            self.node_of[tensor] = index
            if index in self.keep:
                self.kept[index] = tensor
            if index == self.last:
                raise _Enough


def trace(module: nn.Module, inputs: Tensor, keep: Collection[int] = ()) -> tuple[Graph, dict[int, Tensor]]:
    """Write down one forward pass of `module` on `inputs` (N, C, H, W), without gradients.

    Returns the graph and the outputs of the nodes in `keep`, as they were when made; with `keep`, the pass ends at the
    last of them. The module's mode is left as it is; pass one in evaluation mode. Taps are named as `named_modules()`
    spells them; a module called more than once has `name#k` for its k-th call. Raises NetworkError when the forward
    pass fails.
    """
    tracer = _Tracer(inputs, keep)
    graph = tracer.graph
    found: list[tuple[str, int]] = []

    def tap(name: str, arguments: tuple[Any, ...], named: dict[str, Any], output: object) -> None:
        if not isinstance(output, Tensor):
            return
        if tracer.node(output) is None:  # made by something that hides its operations: what it read is all we know
            refs = tracer.refs(arguments, named)
            if not any(isinstance(leaf, Ref) for leaf in _leaves(refs)):
                return  # made of weights alone, as a parametrization's are: no layer
            tracer.write(opaque, refs, output)
        found.append((name, len(graph.nodes) - 1 if (node := tracer.node(output)) is None else node))

    handles = [
        child.register_forward_hook(
            lambda _m, arguments, named, output, name=name: tap(name, arguments, named, output), with_kwargs=True
        )
        for name, child in module.named_modules()
        if name
    ]
    try:
        with torch.no_grad(), tracer, suppress(_Enough):
            output = module(inputs)
            graph.output = tracer.node(output) if isinstance(output, Tensor) else None
    except RuntimeError as error:
        shape = "x".join(map(str, inputs.shape[1:]))
        raise NetworkError(f"the network fails on a {shape} picture: {str(error).splitlines()[0]}") from error
    finally:
        for handle in handles:
            handle.remove()
    graph.times = Counter(name for name, _ in found)
    seen: Counter[str] = Counter()
    kinds = {name: type(child).__name__ for name, child in module.named_modules()}
    for name, node in found:
        layer = f"{name}#{seen[name]}" if graph.times[name] > 1 else name
        seen[name] += 1
        graph.taps[layer], graph.kinds[layer] = node, kinds[name]
    return graph, tracer.kept
