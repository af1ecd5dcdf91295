"""How the calls of one pass hang together: what each of them is, and from which others its data come."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal

from nn_inspector.experiments.anatomy import Anatomy, Call

Kind = Literal[
    "layer", "recurrent", "attention", "embedding", "norm", "activation", "bounded", "softmax", "pool", "dropout",
    "move", "affine", "join", "gate", "other",
]  # fmt: skip
"""What a call is.

"layer" multiplies with weights (linear, convolution), "bounded" is a sigmoid or tanh, "move" changes the shape or the place of
values, "affine" adds or multiplies with what does not depend on the input, or takes means, "join" adds or concatenates data,
"gate" multiplies data with data.
"""

_LINEAR = {
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "bilinear",
}
_PRODUCTS = {"matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "mv", "dot", "tensordot"}
_BOUNDED = {"sigmoid", "tanh", "hardtanh", "hardsigmoid", "softsign", "logsigmoid", "arctan", "atan", "erf"}
_SUMS = {"add", "sub", "iadd", "isub"}
_FACTORS = {"mul", "div", "truediv", "imul", "itruediv", "idiv", "neg", "sum", "mean"}

_KINDS: dict[Kind, set[str]] = {
    "recurrent": {
        "lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell",
    },
    "attention": {"multi_head_attention_forward", "scaled_dot_product_attention", "transformer_encoder_layer_fwd"},
    "embedding": {"embedding", "embedding_bag"},
    "norm": {"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "normalize", "local_response_norm"},
    "activation": {
        "relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "celu", "selu", "gelu", "silu", "mish", "softplus",
        "hardswish", "threshold", "hardshrink", "softshrink", "tanhshrink", "glu", "clamp", "clip", "clamp_min",
        "maximum", "minimum", "abs", "absolute", "sin", "cos", "exp", "square", "pow", "sqrt", "where", "sign",
    },
    "bounded": _BOUNDED,
    "softmax": {"softmax", "log_softmax", "softmin"},
    "pool": {
        "max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
        "max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices", "max", "amax", "min", "amin",
    },
    "dropout": {
        "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "feature_dropout",
    },
    "move": {
        "view", "reshape", "flatten", "unflatten", "permute", "transpose", "swapaxes", "swapdims", "t", "T", "mT",
        "movedim", "moveaxis", "squeeze", "unsqueeze", "expand", "expand_as", "contiguous", "clone", "detach", "data",
        "to", "float", "double", "half", "type", "type_as", "cpu", "cuda", "getitem", "select", "narrow", "chunk", "split",
        "unbind", "pad", "roll", "flip", "index_select", "gather", "unfold", "fold", "repeat", "repeat_interleave",
        "view_as", "reshape_as", "as_strided", "alias", "pixel_shuffle", "tile", "index", "masked_fill", "requires_grad",
    },
    "affine": {
        "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
        "interpolate", "upsample",
    },
    "join": {"cat", "concat", "concatenate", "stack", "hstack", "vstack"},
}  # fmt: skip

_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}

LAYERS: frozenset[str] = frozenset(_LINEAR | _KINDS["recurrent"])
"""Names of the functions that work with weights of their own."""

STRAIGHT: frozenset[Kind] = frozenset({"move", "affine", "join", "dropout"})
"""What leaves a straight line straight, dropout but for its noise."""


@dataclass(frozen=True, slots=True)
class Node:
    """One call that works on data of the input.

    Attributes:
        place: its place among the calls of the pass.
        call: the call.
        kind: what it is.
        sources: places of the calls whose data it works on; -1 stands for the input itself.
        weight: name of the first parameter that it works with.
        turn: how many calls of the same name came before it within the model.
    """

    place: int
    call: Call
    kind: Kind
    sources: tuple[int, ...]
    weight: str | None
    turn: int


@dataclass
class Flow:
    """The calls within the model that work on its input, by their place.

    Attributes:
        nodes: place -> node, in order.
    """

    nodes: dict[int, Node] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def of(self, *kinds: Kind) -> list[Node]:
        """The nodes of these kinds, in order."""
        return [node for node in self if node.kind in kinds]

    def next(self, node: Node) -> list[Node]:
        """The nodes that work on what this one returned."""
        return [other for other in self if node.place in other.sources]

    def before(self, node: Node, through: Collection[Kind]) -> list[Node | None]:
        """The nearest nodes whose data reach `node`, where those of the kinds `through` are passed; None is the input."""
        return self._nearest([*node.sources], through, lambda place: [*self.nodes[place].sources])

    def after(self, node: Node, through: Collection[Kind]) -> list[Node]:
        """The nearest nodes that the data of `node` reach, where those of the kinds `through` are passed."""
        ahead = self._nearest(
            [one.place for one in self.next(node)],
            through,
            lambda place: [n.place for n in self.next(self.nodes[place])],
        )
        return [one for one in ahead if one is not None]

    def behind(self, node: Node) -> list[Node]:
        """All nodes whose data reach `node`."""
        found = self._nearest([*node.sources], (), lambda place: [*self.nodes[place].sources], everything=True)
        return [one for one in found if one is not None]

    def _nearest(
        self,
        open_places: list[int],
        through: Collection[Kind],
        step: Callable[[int], list[int]],
        *,
        everything: bool = False,
    ) -> list[Node | None]:
        seen: set[int] = set()
        found: list[Node | None] = []
        while open_places:
            place = open_places.pop(0)
            if place in seen:
                continue
            seen.add(place)
            node = self.nodes.get(place)
            if everything or node is None or node.kind not in through:
                found.append(node)
            if node is not None and (everything or node.kind in through):
                open_places += step(place)
        return found


def flow_of(seen: Anatomy) -> Flow:
    """Put the calls of a pass together.

    Example:
        >>> from nn_inspector.experiments import isolated, take_apart
        >>> with isolated(inspector.training) as copied:
        ...     flow = flow_of(take_apart(copied, next(iter(inspector.training.train_loader))))
        >>> [(node.kind, node.weight) for node in flow]
        [('layer', '0.weight'), ('activation', None), ('layer', '2.weight')]
    """
    names = {id(parameter): name for name, parameter in seen.model.named_parameters()}
    made: dict[int, int] = {}
    for run in seen.modules:
        if not run.name:
            made.update({id(tensor): -1 for tensor in run.inputs})
    flow = Flow()
    turns: dict[str, int] = {}
    for place, call in enumerate(seen.calls):
        if call.module is None:
            made.update({id(tensor): made[id(tensor)] for tensor in call.outputs if id(tensor) in made})
            continue
        turn = turns[call.name] = turns.get(call.name, -1) + 1
        data = [tensor for tensor in call.inputs if id(tensor) in made]
        if not data or not call.outputs:
            continue
        weights = [names[id(tensor)] for tensor in call.inputs if id(tensor) in names]
        sources = tuple(dict.fromkeys(made[id(tensor)] for tensor in data))
        kind = _kind(call, len(data), has_weight=bool(weights))
        flow.nodes[place] = Node(place, call, kind, sources, next(iter(weights), None), turn)
        made.update({id(tensor): place for tensor in call.outputs})
    return flow


def _kind(call: Call, data: int, *, has_weight: bool) -> Kind:
    if call.name in _LINEAR:
        return "layer"
    if call.name in _PRODUCTS:
        if has_weight:
            return "layer"
        return "affine" if data == 1 else "gate"
    if call.name in _SUMS:
        return "affine" if data == 1 else "join"
    if call.name in _FACTORS:
        return "affine" if data == 1 else "gate"
    return _KIND_OF.get(call.name, "other")
