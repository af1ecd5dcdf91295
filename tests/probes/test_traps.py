"""Every trap of observing PyTorch, as a row: the training is as it was, nothing unexpected is reported, and what can be seen is seen."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

import nn_inspector as nni
from tests.probes import passes_for_another_purpose as passes
from tests.probes import unusual_loops as loops
from tests.probes import unusual_models as models
from tests.probes.trained_alike import (
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
from tests.trainings import assert_equal, blobs, mlp, state_of

USUAL = frozenset(
    {
        "loss", "learning_rate", "gradient_norm", "update_ratio", "activation_mean", "activation_histogram",
        "activation_gradient_norm", "weight_histogram", "gradient_histogram", "kept_gradient",
    }
)  # fmt: skip
BY_PARAMETER = frozenset({"gradient_norm", "update_ratio", "weight_histogram", "gradient_histogram"})
UNSEEN_STEPS = ("The weights change, but no step of an optimizer is seen: what torch.compile has compiled is not.",)


@dataclass
class Trap:
    """A row: what is trained and how, what must have been measured, and the beginnings of what is to be said."""

    make: object
    loop: object = plain
    seen: frozenset = USUAL
    said: tuple = ()


TRAPS = {
    "plain": Trap(case()),
    "compiled": Trap(case(), loops.compiled, BY_PARAMETER, ("The model's forward pass was not seen",)),
    "a compiled step": Trap(case(optimizer=models.adam()), loops.with_a_compiled_step, frozenset(), UNSEEN_STEPS),
    "a compiled train step": Trap(case(optimizer=models.adam()), loops.compiled_throughout, frozenset(), UNSEEN_STEPS),
    "a compiled loss": Trap(case(optimizer=models.adam()), loops.with_a_compiled_loss, BY_PARAMETER),
    "gradient scaler": Trap(case(), loops.scaled),
    "gradient scaler, fused": Trap(case(optimizer=models.adam(fused=True)), loops.scaled, USUAL | {"optimizer_moment_norm"}),
    "gradient scaler, a step skipped": Trap(case(), loops.with_a_skipped_step),
    "gradient scaler, fused, a step skipped": Trap(case(optimizer=models.adam(fused=True)), loops.with_a_skipped_step),
    "gradient scaler, fused, autocast": Trap(case(optimizer=models.adam(fused=True)), loops.scaled_under_autocast),
    "accumulation and clipping": Trap(case(), accumulating),
    "checkpointing": Trap(case(lambda: models.Checkpointing(reentrant=False))),
    "checkpointing, reentrant": Trap(case(lambda: models.Checkpointing(reentrant=True))),
    "a module used twice, and an in-place activation": Trap(case(Tied)),
    "tied weights": Trap(case(models.OneTable)),
    "in-place operations": Trap(case(models.InPlace)),
    "LBFGS": Trap(case(optimizer=lambda m: torch.optim.LBFGS(m.parameters(), max_iter=3)), with_closure, USUAL - {"kept_gradient"}),
    "SGD with a closure": Trap(case(), with_closure, USUAL - {"kept_gradient"}),
    "SGD with a named closure": Trap(case(), loops.with_a_named_closure, USUAL - {"kept_gradient"}),
    "a step that calls the step of its base class": Trap(case(optimizer=models.of_a_subclass), seen=USUAL | {"optimizer_moment_norm"}),
    "two parameter groups": Trap(case(optimizer=models.halves)),
    "frozen": Trap(case(models.frozen)),
    "lazy": Trap(models.lazy_case),
    "a parameter on the meta device": Trap(case(models.with_an_empty_parameter), said=("Not measured, because they have no values: 0.elsewhere",)),
    "LSTM": Trap(case(Recurrent), seen=USUAL | {"hidden_norm"}),
    "LSTM with a packed sequence": Trap(case(models.Packed), seen=USUAL | {"hidden_norm"}),
    "attention": Trap(case(Attending), seen=USUAL | {"attention_entropy"}),
    "spectral norms": Trap(case(models.Normed), said=("Attention of mixed, apart is not measured",)),
    "dict output": Trap(case(DictOutput), loops.from_a_key),
    "dataclass output": Trap(case(models.DataclassOutput), loops.from_an_attribute),
    "views, nothing, integers, meta tensors and parameters as outputs": Trap(case(models.Views)),
    "sparse gradients": Trap(case(models.Sparse, optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1))),
    "complex weights": Trap(case(models.Complex)),
    "deepcopy in the loop": Trap(case(), loops.copying),
    "torch.save in the loop": Trap(case(), loops.saving),
    "average model": Trap(case(), loops.averaging),
    "load_state_dict(assign=True)": Trap(case(), loops.assigning, said=("The optimizer steps parameters that are not in the model",)),
    "head replaced": Trap(case(), loops.replacing_the_head),
    "wider layers": Trap(case(), loops.replacing_layers_by_wider_ones, said=("Since a layer has another width, these begin anew, without",)),
    "exceptions in the middle": Trap(case(), loops.failing_in_the_middle),
    "the forward pass breaks": Trap(case(), loops.failing_in_a_module),
    "in a thread": Trap(case(), loops.in_a_thread),
    "another thread runs the model": Trap(case(), loops.two_threads_forward),
    "backward through backward": Trap(case(lambda: mlp(activation=nn.Tanh)), loops.twice_through_the_graph),
    "torch.func.jacrev of the model": Trap(case(), passes.with_another_pass(passes.jacobian)),
    "torch.func.jvp of the model": Trap(case(), passes.with_another_pass(passes.directional_derivative)),
    "forward mode": Trap(case(), passes.with_another_pass(passes.forward_mode)),
    "torch.func.vmap of the model": Trap(case(), passes.with_another_pass(passes.one_by_one)),
    "gradients of single items": Trap(case(), passes.with_another_pass(passes.gradients_of_items)),
    "a vectorized jacobian": Trap(case(), passes.with_another_pass(passes.vectorized_jacobian)),
    "tensors without values": Trap(case(), passes.with_another_pass(passes.without_values)),
    "torch.jit.trace": Trap(case(), passes.with_another_pass(passes.traced)),
    "torch.jit.script": Trap(case(), passes.with_another_pass(passes.scripted)),
    "torch.jit.freeze": Trap(case(), passes.with_another_pass(passes.scripted_and_read_again)),
    "torch.jit.script of a model with a hook of the user's": Trap(case(models.with_a_hook), passes.with_another_pass(passes.scripted)),
    "make_fx": Trap(case(), passes.with_another_pass(passes.made_a_graph)),
    "torch.export": Trap(case(), passes.with_another_pass(passes.exported)),
    "float64 as default": Trap(case(), loops.under(loops.default_dtype)),
    "float64 throughout": Trap(case(lambda: mlp().double(), data=lambda: _double(blobs()))),
    "deterministic algorithms": Trap(case(), loops.under(loops.deterministic)),
    "anomaly detection": Trap(case(), loops.under(torch.autograd.detect_anomaly)),
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


TRUE_UPDATES = [
    "gradient scaler", "gradient scaler, fused", "gradient scaler, a step skipped", "gradient scaler, fused, a step skipped",
    "gradient scaler, fused, autocast", "accumulation and clipping", "tied weights", "LBFGS", "two parameter groups", "sparse gradients",
    "complex weights", "float64 throughout", "head replaced",
]  # fmt: skip


@pytest.mark.parametrize("name", TRUE_UPDATES)
def test_the_updates_that_are_measured_are_those_that_were_made(name):
    """A step that was skipped changes nothing; weights under two names change once."""
    trap = TRAPS[name]
    c = trap.make()
    true, before = [], {}

    def remember(*_):
        before.update({name: one.detach().clone() for name, one in c.model.named_parameters()})

    def compare(*_):
        true.append({name: (one.detach() - before[name]).norm().item() for name, one in c.model.named_parameters()})

    c.optimizer.register_step_pre_hook(remember)
    c.optimizer.register_step_post_hook(compare)
    with nni.watch(c.model, c.optimizer, c.loss_fn, train_loader=c.train_loader, every=1, probes="full") as inspector:
        trap.loop(c)
    run = inspector.run
    assert sorted(run.sources("update_norm")) == sorted(true[0])
    for parameter in true[0]:
        series = run.series("update_norm", parameter)
        assert series.values.tolist() == pytest.approx([step[parameter] for step in true], rel=1e-5)


def test_a_step_that_calls_the_step_of_its_base_class_is_one_step():
    """Torch calls the hooks of both, where the base class was used before. A step that breaks is none."""
    c = case(optimizer=models.of_a_subclass)()
    x, y = blobs(16).tensors
    changes = []
    with nni.watch(c.model, c.optimizer, c.loss_fn, every=1) as inspector:
        for number in range(5):
            before = c.model[0].weight.detach().clone()
            loops.usual_step(c, x, y)
            changes.append((c.model[0].weight.detach() - before).norm().item())
            c.optimizer.broken = number == 2
            if c.optimizer.broken:
                with pytest.raises(ArithmeticError):
                    loops.usual_step(c, x, y)
                c.optimizer.broken = False
    run = inspector.run
    assert run.steps == 5
    assert run.series("update_norm", "0.weight").steps.tolist() == [0, 1, 2, 3, 4]
    assert run.series("update_norm", "0.weight").values == pytest.approx(changes, rel=1e-5)


TRUE_GRADIENTS = ["plain", "accumulation and clipping", "LBFGS", "SGD with a closure", "SGD with a named closure"]


@pytest.mark.parametrize("name", TRUE_GRADIENTS)
def test_the_gradients_that_are_measured_are_those_that_the_step_used(name):
    """Those of a closure are computed within the step: what is there before it is of the step before."""
    trap = TRAPS[name]
    c = trap.make()
    true = []
    c.optimizer.register_step_post_hook(lambda *_: true.append(c.model[0].weight.grad.detach().clone()))
    with nni.watch(c.model, c.optimizer, c.loss_fn, train_loader=c.train_loader, every=1, probes="full") as inspector:
        trap.loop(c)
    for quantity, number in (("gradient_norm", torch.linalg.vector_norm), ("gradient_mean", torch.mean)):
        series = inspector.run.series(quantity, "0.weight")
        assert series.steps.tolist() == list(range(len(true)))
        assert series.values.tolist() == pytest.approx([float(number(one)) for one in true], rel=1e-4, abs=1e-8)


OTHER_PASSES = [
    passes.jacobian,
    passes.directional_derivative,
    passes.one_by_one,
    passes.gradients_of_items,
    passes.without_values,
    passes.traced_unchecked,
    passes.made_a_graph,
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

    assert measured(passes.with_another_pass(other)) == measured(loops.manual(loops.usual_step))


def test_a_parameter_without_values_is_no_harm_to_the_checks():
    c = case(models.with_an_empty_parameter)()
    with nni.watch(c.model, c.optimizer, c.loss_fn, train_loader=c.train_loader, every=1) as inspector:
        c.run(1)
        assert inspector.check("nonfinite").severity == "ok"
        assert inspector.check("optimizer_step").severity == "ok"


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


@pytest.mark.parametrize(
    "loop", [loops.scaled, lambda c: loops.scaled(c, unscale=True)], ids=["scaler alone", "unscale_() first"]
)
def test_gradients_of_a_scaled_loss_are_unscaled_where_the_step_uses_them(loop):
    plainly = case()()
    with nni.watch(plainly.model, plainly.optimizer, plainly.loss_fn, every=1, probes="full") as inspector:
        loops.manual(loops.usual_step)(plainly)
    expected = inspector.run.series("activation_gradient_norm", "2").values[0]
    found = []
    for optimizer in (sgd, models.adam(), models.adam(fused=True)):
        c = case(optimizer=optimizer)()
        with nni.watch(c.model, c.optimizer, c.loss_fn, every=1, probes="full") as inspector:
            loop(c)
        assert inspector.run.series("activation_gradient_norm", "2").values[0] == pytest.approx(expected, rel=1e-4)
        found.append(inspector.run.series("gradient_norm", "0.weight").values[0])
        found.append(float(inspector.run.series("gradient_spread", "0.weight").values[0]))
    assert found[::2] == pytest.approx([found[0]] * 3, rel=1e-4)
    assert found[1::2] == pytest.approx([found[1]] * 3, rel=1e-4)
