"""Every trap of observing PyTorch, as a row: the training is as it was, nothing unexpected is reported, and what can be seen is seen."""

import copy
import io
import threading
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint

import nn_inspector as nni
from tests.probes.test_untouched import (
    Attending,
    DictOutput,
    Recurrent,
    Tied,
    accumulating,
    case,
    hook_dictionaries,
    plain,
    sgd,
    with_closure,
)
from tests.trainings import CLASSES, FEATURES, assert_equal, blobs, mlp, state_of

USUAL = frozenset(
    {
        "loss", "learning_rate", "gradient_norm", "update_ratio", "activation_mean", "activation_histogram",
        "activation_gradient_norm", "weight_histogram", "gradient_histogram", "kept_gradient",
    }
)  # fmt: skip
BY_PARAMETER = frozenset({"gradient_norm", "update_ratio", "weight_histogram", "gradient_histogram"})


@dataclass
class Trap:
    """A row: what is trained and how, what must have been measured, and the beginnings of what is to be said."""

    make: object
    loop: object = plain
    seen: frozenset = USUAL
    said: tuple = ()


# loops


def manual(step):
    """A loop of the user's: `step(case, x, y)` returns the loss."""

    def loop(c):
        return [step(c, x, y).item() for _ in range(2) for x, y in c.train_loader]

    return loop


def usual_step(c, x, y):
    c.optimizer.zero_grad()
    loss = c.loss_fn(c.model(x), y)
    loss.backward()
    c.optimizer.step()
    return loss


def compiled(c):
    torch._dynamo.reset()
    model = torch.compile(c.model, backend="eager")
    return manual(lambda c, x, y: usual_step(copy_of(c, model=model), x, y))(c)


def copy_of(c, **changes):
    return type(c)(**{**vars(c), **changes})


def scaled(c, *, unscale=False):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)

    def step(c, x, y):
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        scaler.scale(loss).backward()
        if unscale:
            scaler.unscale_(c.optimizer)
        scaler.step(c.optimizer)
        scaler.update()
        return loss

    return manual(step)(c)


def with_a_skipped_step(c):
    """The scaler meets Inf in the third step and skips it."""
    scaler, calls = torch.amp.GradScaler("cpu", init_scale=2.0**16), []

    def step(c, x, y):
        calls.append(x)
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        scaler.scale(loss).backward()
        if len(calls) == 3:
            next(c.model.parameters()).grad.fill_(torch.inf)
        scaler.step(c.optimizer)
        scaler.update()
        return loss

    return manual(step)(c)


def averaging(c):
    average = torch.optim.swa_utils.AveragedModel(c.model)

    def step(c, x, y):
        loss = usual_step(c, x, y)
        average.update_parameters(c.model)
        return loss + 0 * average(x).sum().detach()

    return manual(step)(c)


def copying(c):
    def step(c, x, y):
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        twin = copy.deepcopy(c.model)
        loss.backward()
        c.optimizer.step()
        return loss + 0 * twin(x).sum().detach()

    return manual(step)(c)


def saving(c):
    def step(c, x, y):
        c.optimizer.zero_grad()
        output = c.model(x)
        torch.save((c.model, c.loss_fn, output), io.BytesIO())
        loss = c.loss_fn(output, y)
        loss.backward()
        c.optimizer.step()
        return loss

    return manual(step)(c)


def assigning(c):
    losses = c.run(1)
    c.model.load_state_dict({name: value.clone() for name, value in c.model.state_dict().items()}, assign=True)
    return losses + c.run(1)


def replacing_the_head(c):
    losses = c.run(1)
    torch.manual_seed(5)
    c.model[2] = nn.Linear(16, CLASSES)
    c.optimizer.param_groups[0]["params"][2:] = list(c.model[2].parameters())
    return losses + c.run(1)


def replacing_layers_by_wider_ones(c):
    losses = c.run(1)
    torch.manual_seed(5)
    c.model[0], c.model[2] = nn.Linear(FEATURES, 24), nn.Linear(24, CLASSES + 2)
    c.optimizer.param_groups[0]["params"][:] = list(c.model.parameters())
    return losses + c.run(1)


def stop_with(error):
    raise error


def failing_in_the_middle(c):
    losses = []
    for number, (x, y) in enumerate(c.train_loader):
        try:
            c.optimizer.zero_grad()
            loss = c.loss_fn(c.model(x), y)
            if number == 1:
                stop_with(ValueError("of the user's"))
            loss.backward()
            if number == 3:
                stop_with(KeyboardInterrupt())
            c.optimizer.step()
            losses.append(loss.item())
        except (ValueError, KeyboardInterrupt):
            pass
    return losses + c.run(1)


def failing_in_a_module(c):
    """The forward pass itself breaks off: hooks of the modules behind never fire."""
    for x, _ in list(c.train_loader)[:2]:
        with pytest.raises(RuntimeError):
            c.model(x[:, :3])
    return c.run(2)


def in_a_thread(c):
    losses = []
    thread = threading.Thread(target=lambda: losses.extend(c.run(2)))
    thread.start()
    thread.join()
    return losses


def two_threads_forward(c):
    """Another thread runs the model while this one trains; it waits for its turn, so that the result is fixed."""

    def step(c, x, y):
        thread = threading.Thread(target=lambda: c.model(x))
        thread.start()
        thread.join()
        return usual_step(c, x, y)

    return manual(step)(c)


def from_an_attribute(c):
    def step(c, x, y):
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x).logits, y)
        loss.backward()
        c.optimizer.step()
        return loss

    return manual(step)(c)


def from_a_key(c):
    def step(c, x, y):
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x)["logits"], y)
        loss.backward()
        c.optimizer.step()
        return loss

    return manual(step)(c)


def twice_through_the_graph(c):
    """A gradient penalty: backward through backward."""

    def step(c, x, y):
        c.optimizer.zero_grad()
        x = x.clone().requires_grad_()
        loss = c.loss_fn(c.model(x), y)
        (slope,) = torch.autograd.grad(loss, x, create_graph=True)
        loss = loss + slope.square().sum()
        loss.backward()
        c.optimizer.step()
        return loss

    return manual(step)(c)


def with_another_pass(run):
    """The model is also run for another purpose, between the forward pass and backward() and between the steps; `run` returns a tensor."""

    def step(c, x, y):
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        inside = run(c, x, y)
        loss.backward()
        c.optimizer.step()
        return loss + inside.detach().sum() + run(c, x, y).detach().sum()

    return manual(step)


def jacobian(c, x, y):
    return torch.func.jacrev(c.model)(x[0])


def directional_derivative(c, x, y):
    return torch.func.jvp(c.model, (x,), (torch.ones_like(x),))[1]


def forward_mode(c, x, y):
    with torch.autograd.forward_ad.dual_level():
        return torch.autograd.forward_ad.unpack_dual(c.model(torch.autograd.forward_ad.make_dual(x, x))).tangent


def one_by_one(c, x, y):
    return torch.func.vmap(c.model)(x)


def gradients_of_items(c, x, y):
    def loss(parameters, x, y):
        return c.loss_fn(torch.func.functional_call(c.model, parameters, (x[None],)), y[None])

    parameters = {name: parameter.detach() for name, parameter in c.model.named_parameters()}
    return torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(parameters, x, y)["0.weight"]


def vectorized_jacobian(c, x, y):
    return torch.autograd.functional.jacobian(c.model, x[:2], vectorize=True)


def without_values(c, x, y):
    with FakeTensorMode(allow_non_fake_inputs=True):
        shape = c.model(torch.zeros(4, FEATURES)).shape
    return torch.tensor(shape)


def traced(c, x, y, *, check_trace=True):
    graph = torch.jit.trace(c.model, x, check_trace=check_trace).inlined_graph
    return torch.tensor(len(list(graph.nodes())))


def traced_unchecked(c, x, y):
    """torch's check of it runs the model as usual."""
    return traced(c, x, y, check_trace=False)


def scripted(c, x, y):
    model, loss_fn = torch.jit.script(c.model), torch.jit.script(c.loss_fn)
    return loss_fn(model(x), y).detach() + len(list(model.inlined_graph.nodes()))


def scripted_and_read_again(c, x, y):
    file = io.BytesIO()
    torch.jit.save(torch.jit.freeze(torch.jit.script(copy.deepcopy(c.model).eval())), file)
    file.seek(0)
    return torch.jit.load(file)(x)


def made_a_graph(c, x, y):
    return torch.tensor(len(make_fx(c.model)(x).graph.nodes))


def exported(c, x, y):
    return torch.tensor(len(torch.export.export(c.model, (x,)).graph.nodes))


def under(context):
    def loop(c):
        with context():
            return c.run(2)

    return loop


class default_dtype:  # noqa: N801 - stands where a context manager is called
    def __enter__(self):
        torch.set_default_dtype(torch.float64)

    def __exit__(self, *error):
        torch.set_default_dtype(torch.float32)


class deterministic:  # noqa: N801
    def __enter__(self):
        torch.use_deterministic_algorithms(True)

    def __exit__(self, *error):
        torch.use_deterministic_algorithms(False)


# models


class Checkpointing(nn.Module):
    def __init__(self, *, reentrant):
        super().__init__()
        self.inner, self.reentrant = mlp(), reentrant

    def forward(self, x):
        return checkpoint(self.inner, x.requires_grad_(), use_reentrant=self.reentrant)


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.LSTM(2, 8, batch_first=True, num_layers=2, dropout=0.3), nn.Linear(8, CLASSES)

    def forward(self, x):
        lengths = torch.arange(len(x)) % 4 + 1
        packed = pack_padded_sequence(x.reshape(len(x), 4, 2), lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.rnn(packed)[1][0][-1])


@dataclass
class Output:
    logits: torch.Tensor
    names: tuple = ("a", "b")


class DataclassOutput(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = mlp()

    def forward(self, x):
        return Output(self.inner(x))


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.one(x)
        x += self.two(x.clone())
        return self.head(x.mul_(2).tanh_())


class Views(nn.Module):
    """Modules that return views, expanded tensors, parameters and nothing."""

    class Returns(nn.Module):
        def __init__(self, what):
            super().__init__()
            self.what = what

        def forward(self, x):
            return self.what(x)

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(FEATURES))
        self.own = Views.Returns(lambda x: self.bias)
        self.expanded = Views.Returns(lambda x: x.expand(3, *x.shape))
        self.chunks = Views.Returns(lambda x: x.chunk(2, dim=1))
        self.nothing = Views.Returns(lambda x: None)
        self.empty = Views.Returns(lambda x: x[:0])
        self.without_values = Views.Returns(lambda x: x.to("meta"))
        self.whole = Views.Returns(lambda x: (x > 0).long())
        self.head = nn.Linear(FEATURES // 2, CLASSES)

    def forward(self, x):
        self.nothing(x), self.empty(x), self.without_values(x)
        x = self.expanded(x + self.own(x) * self.whole(x)).mean(0)
        first, second = self.chunks(x)
        return self.head(first + second)


class Sparse(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(50, 6, sparse=True), nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.head(self.table((x * 10).long() % 50).mean(1))


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(FEATURES, 6, dtype=torch.complex64)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.head(self.mix(x.to(torch.complex64)).abs())


def frozen():
    model = mlp()
    model[0].requires_grad_(False)
    return model


def with_an_empty_parameter():
    model = mlp()
    model[0].elsewhere = nn.Parameter(torch.empty(3, device="meta"))
    return model


def double(self, given: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
    return 2 * output


def with_a_hook():
    model = mlp()
    model[0].register_forward_hook(double)
    return model


def lazy():
    return nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(CLASSES))


def lazy_case():
    c = case(lazy, optimizer=lambda m: torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.05))()
    c.optimizer = torch.optim.SGD(c.model.parameters(), lr=0.05)
    return c


def adam(**options):
    return lambda model: torch.optim.Adam(model.parameters(), **options)


def halves(model):
    return torch.optim.SGD([{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters()}], lr=0.01)


TRAPS = {
    "plain": Trap(case()),
    "compiled": Trap(case(), compiled, BY_PARAMETER, ("The model's forward pass was not seen",)),
    "gradient scaler": Trap(case(), scaled),
    "gradient scaler, fused": Trap(case(optimizer=adam(fused=True)), scaled, USUAL | {"optimizer_moment_norm"}),
    "gradient scaler, a step skipped": Trap(case(), with_a_skipped_step),
    "accumulation and clipping": Trap(case(), accumulating),
    "checkpointing": Trap(case(lambda: Checkpointing(reentrant=False))),
    "checkpointing, reentrant": Trap(case(lambda: Checkpointing(reentrant=True))),
    "a module used twice, and an in-place activation": Trap(case(Tied)),
    "in-place operations": Trap(case(InPlace)),
    "LBFGS": Trap(case(optimizer=lambda m: torch.optim.LBFGS(m.parameters(), max_iter=3)), with_closure, USUAL - {"kept_gradient"}),
    "two parameter groups": Trap(case(optimizer=halves)),
    "frozen": Trap(case(frozen)),
    "lazy": Trap(lazy_case),
    "a parameter on the meta device": Trap(case(with_an_empty_parameter), said=("Not measured, because they have no values: 0.elsewhere",)),
    "LSTM": Trap(case(Recurrent), seen=USUAL | {"hidden_norm"}),
    "LSTM with a packed sequence": Trap(case(Packed), seen=USUAL | {"hidden_norm"}),
    "attention": Trap(case(Attending), seen=USUAL | {"attention_entropy"}),
    "dict output": Trap(case(DictOutput), from_a_key),
    "dataclass output": Trap(case(DataclassOutput), from_an_attribute),
    "views, nothing, integers, meta tensors and parameters as outputs": Trap(case(Views)),
    "sparse gradients": Trap(case(Sparse, optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1))),
    "complex weights": Trap(case(Complex)),
    "deepcopy in the loop": Trap(case(), copying),
    "torch.save in the loop": Trap(case(), saving),
    "average model": Trap(case(), averaging),
    "load_state_dict(assign=True)": Trap(case(), assigning, said=("The optimizer steps parameters that are not in the model",)),
    "head replaced": Trap(case(), replacing_the_head),
    "wider layers": Trap(case(), replacing_layers_by_wider_ones),
    "exceptions in the middle": Trap(case(), failing_in_the_middle),
    "the forward pass breaks": Trap(case(), failing_in_a_module),
    "in a thread": Trap(case(), in_a_thread),
    "another thread runs the model": Trap(case(), two_threads_forward),
    "backward through backward": Trap(case(lambda: mlp(activation=nn.Tanh)), twice_through_the_graph),
    "torch.func.jacrev of the model": Trap(case(), with_another_pass(jacobian)),
    "torch.func.jvp of the model": Trap(case(), with_another_pass(directional_derivative)),
    "forward mode": Trap(case(), with_another_pass(forward_mode)),
    "torch.func.vmap of the model": Trap(case(), with_another_pass(one_by_one)),
    "gradients of single items": Trap(case(), with_another_pass(gradients_of_items)),
    "a vectorized jacobian": Trap(case(), with_another_pass(vectorized_jacobian)),
    "tensors without values": Trap(case(), with_another_pass(without_values)),
    "torch.jit.trace": Trap(case(), with_another_pass(traced)),
    "torch.jit.script": Trap(case(), with_another_pass(scripted)),
    "torch.jit.freeze": Trap(case(), with_another_pass(scripted_and_read_again)),
    "torch.jit.script of a model with a hook of the user's": Trap(case(with_a_hook), with_another_pass(scripted)),
    "make_fx": Trap(case(), with_another_pass(made_a_graph)),
    "torch.export": Trap(case(), with_another_pass(exported)),
    "float64 as default": Trap(case(), under(default_dtype)),
    "float64 throughout": Trap(case(lambda: mlp().double(), data=lambda: _double(blobs()))),
    "deterministic algorithms": Trap(case(), under(deterministic)),
    "anomaly detection": Trap(case(), under(torch.autograd.detect_anomaly)),
}  # fmt: skip


def _double(data):
    data.tensors = (data.tensors[0].double(), data.tensors[1])
    return data


@pytest.mark.filterwarnings("ignore:Anomaly Detection:UserWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", TRAPS)
def test_a_trap(name, recwarn):
    trap = TRAPS[name]
    bare = trap.make()
    losses = trap.loop(bare)
    expected = state_of(bare)
    own_warnings = len(recwarn)

    watched = trap.make()
    with nni.watch(
        watched.model, watched.optimizer, watched.loss_fn, train_loader=watched.train_loader, every=1, probes="full"
    ) as inspector:
        watched_losses = trap.loop(watched)
        problems = inspector.problems
    assert watched_losses == losses
    assert_equal(state_of(watched), expected)
    assert [any(text.startswith(said) for said in trap.said) for text in problems] == [True] * len(trap.said), problems
    missing = trap.seen - set(inspector.run.quantities())
    assert not missing
    assert inspector.run.nonfinite is None
    of_bare = hook_dictionaries(bare.model, bare.optimizer, bare.loss_fn)
    assert hook_dictionaries(watched.model, watched.optimizer, watched.loss_fn) == of_bare
    assert torch.overrides._get_current_function_mode_stack() == []
    assert len(recwarn) <= 2 * own_warnings, [str(warning.message) for warning in recwarn]


OTHER_PASSES = [
    jacobian,
    directional_derivative,
    one_by_one,
    gradients_of_items,
    without_values,
    traced_unchecked,
    made_a_graph,
]


@pytest.mark.parametrize("other", OTHER_PASSES)
def test_what_is_measured_is_that_of_the_training(other):
    """A pass for another purpose is not taken for one of the training."""

    def measured(loop):
        c = case()()
        with nni.watch(c.model, c.optimizer, c.loss_fn, every=1, probes="full") as inspector:
            loop(c)
        run = inspector.run
        names = ("loss", "activation_mean", "activation_gradient_norm", "gradient_norm", "kept_gradient")
        series = {
            (name, source): run.series(name, source).values.tolist() for name in names for source in run.sources(name)
        }
        return series, [
            entry.call for entry in run.trace if entry.call in ("forward", "cross_entropy", "backward", "step")
        ]

    assert measured(with_another_pass(other)) == measured(manual(usual_step))


def test_a_parameter_without_values_is_no_harm_to_the_checks():
    c = case(with_an_empty_parameter)()
    with nni.watch(c.model, c.optimizer, c.loss_fn, train_loader=c.train_loader, every=1) as inspector:
        c.run(1)
        assert inspector.check("nonfinite").severity == "ok"
        assert inspector.check("optimizer_step").severity == "ok"


def test_several_optimizers():
    def train(watched):
        torch.manual_seed(0)
        model = mlp()
        optimizers = [torch.optim.SGD(model[0].parameters(), lr=0.1), torch.optim.Adam(model[2].parameters())]
        inspector = nni.watch(model, optimizers, nn.CrossEntropyLoss(), every=1, probes="full") if watched else None
        loss_fn, losses = inspector.training.loss_fn if inspector else nn.CrossEntropyLoss(), []
        for seed in range(4):
            x, y = blobs(16, seed=seed).tensors
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            losses.append(loss.item())
        return losses, [p.detach().clone() for p in model.parameters()], inspector

    losses, parameters, _ = train(False)
    watched_losses, watched_parameters, inspector = train(True)
    assert watched_losses == losses
    assert all(torch.equal(a, b) for a, b in zip(parameters, watched_parameters, strict=True))
    assert inspector.problems == []
    assert inspector.run.series("weight_histogram", "0.weight").steps.tolist() == [0, 2, 4, 6]
    assert inspector.run.sources("optimizer_moment_norm")[0] == "2.weight:exp_avg"
    inspector.detach()


def test_an_interrupt_ends_the_loop_and_the_training_goes_on():
    def train(watched):
        c = case()()
        inspector = None
        if watched:
            inspector = nni.watch(c.model, c.optimizer, c.loss_fn, every=1, probes="full")
        losses = c.run(1)
        x, y = blobs(16).tensors
        with pytest.raises(KeyboardInterrupt):
            c.loss_fn(c.model(x), y).backward()
            raise KeyboardInterrupt
        losses += c.run(1)
        if inspector is not None:
            assert inspector.problems == []
            inspector.detach()
        return losses, state_of(c)

    bare, watched = train(False), train(True)
    assert bare[0] == watched[0]
    assert_equal(bare[1], watched[1])


@pytest.mark.parametrize("loop", [scaled, lambda c: scaled(c, unscale=True)], ids=["scaler alone", "unscale_() first"])
def test_gradients_of_a_scaled_loss_are_unscaled_where_the_step_uses_them(loop):
    plainly = case()()
    with nni.watch(plainly.model, plainly.optimizer, plainly.loss_fn, every=1, probes="full") as inspector:
        manual(usual_step)(plainly)
    expected = inspector.run.series("activation_gradient_norm", "2").values[0]
    found = []
    for optimizer in (sgd, adam(), adam(fused=True)):
        c = case(optimizer=optimizer)()
        with nni.watch(c.model, c.optimizer, c.loss_fn, every=1, probes="full") as inspector:
            loop(c)
        assert inspector.run.series("activation_gradient_norm", "2").values[0] == pytest.approx(expected, rel=1e-4)
        found.append(inspector.run.series("gradient_norm", "0.weight").values[0])
        found.append(float(inspector.run.series("gradient_spread", "0.weight").values[0]))
    assert found[::2] == pytest.approx([found[0]] * 3, rel=1e-4)
    assert found[1::2] == pytest.approx([found[1]] * 3, rel=1e-4)
