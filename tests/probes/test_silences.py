"""What should have been seen and was not is said, with what to do; and nothing is said where all is as it should be."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nn_inspector as nni
from tests.trainings import CLASSES, FEATURES, blobs, classifier, mlp


def steps(model, optimizer, number=4):
    x, y = blobs(16).tensors
    for _ in range(number):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def test_a_layer_that_is_never_used():
    class Forgetful(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.forgotten = nn.Linear(FEATURES, CLASSES), nn.Linear(3, 3)

        def forward(self, x):
            return self.used(x)

    model = Forgetful()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer) as inspector:
        steps(model, optimizer)
    assert inspector.problems == [
        "Never run in training, and without gradients: forgotten. Use them in forward(), or remove them from the model."
    ]


def test_weights_that_the_loop_changes_by_itself():
    model = mlp()
    x, y = blobs(16).tensors
    with nni.watch(model, train_loader=[(x, y)]) as inspector:
        with torch.no_grad():
            for _ in range(60):
                model(x)
        assert inspector.problems == []
        for _ in range(60):
            model.zero_grad()
            F.cross_entropy(model(x), y).backward()
            with torch.no_grad():
                for p in model.parameters():
                    p.sub_(0.1 * p.grad)
        assert [problem[:60] for problem in inspector.problems] == [
            "The model ran, but no optimizer of its parameters made a ste"
        ]
        finding = inspector.check("no_learning")
        assert finding.severity == "skipped"
        assert "let torch.optim.SGD do it" in finding.message


def test_a_loader_that_the_loop_does_not_read():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        steps(case.model, case.optimizer, 19)
        assert inspector.problems == []
        steps(case.model, case.optimizer, 1)
        (problem,) = inspector.problems
        assert problem.startswith("train_loader was given, and no batch of it was seen")
        case.run(1)
        assert inspector.problems == []


class OwnAttention(nn.Module):
    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x)


class Stepwise(nn.Module):
    """Attention and a recurrent cell of other kinds than those that are measured."""

    def __init__(self):
        super().__init__()
        self.look, self.cell, self.last = OwnAttention(), nn.GRUCell(FEATURES, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.last(self.cell(self.look(x[:, None])[:, 0]))


@pytest.mark.parametrize("probes", ["standard", "full"])
def test_attention_and_cells_that_the_chosen_probes_do_not_see(probes):
    model = Stepwise()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, probes=probes) as inspector:
        assert inspector.problems == []
        steps(model, optimizer)
        problems = inspector.problems
    said = [
        "Attention is measured in nn.MultiheadAttention alone. That of look is not.",
        "Hidden states are measured in nn.RNN, nn.LSTM and nn.GRU alone. Those of cell are not.",
    ]
    assert problems == (said if probes == "full" else [])


class Silent(nn.Module):
    """Modules that never run although they are used."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({"a": nn.Linear(FEATURES, FEATURES)})
        self.more = nn.ModuleList([nn.Linear(FEATURES, 8)])
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.weights = nn.Linear(8, CLASSES)
        self.tied = nn.Linear(8, CLASSES)
        self.tied.weight = self.weights.weight
        self.tied.bias = None
        self.unused_but_frozen = nn.Linear(2, 2).requires_grad_(False)

    def forward(self, x):
        x = self.more[0](self.parts["a"](x))[:, None]
        return F.linear(self.attention(x, x, x)[0][:, 0], self.weights.weight, self.weights.bias)


def test_modules_that_never_run_and_need_not():
    model = Silent()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, probes="full") as inspector:
        steps(model, optimizer)
    assert inspector.problems == []


def test_a_head_that_was_replaced_and_not_given_to_the_optimizer():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn) as inspector:
        case.run(1)
        case.model[2] = nn.Linear(16, CLASSES)
        case.run(1)
        (problem,) = inspector.problems
    assert problem.startswith(
        "The optimizer steps parameters that are not in the model any more (2.weight, 2.bias): they were replaced"
    )


def test_a_layer_that_no_optimizer_steps():
    model = mlp()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    with nni.watch(model, optimizer) as inspector:
        steps(model, optimizer)
        assert "No watched optimizer steps 2.weight, 2.bias" in inspector.problems[0]
        model[2].requires_grad_(False)
        assert inspector.problems == []


def test_a_replaced_layer_is_measured_in_its_place():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, every=1) as inspector:
        case.run(1)
        case.model[1] = nn.Tanh()
        case.run(1)
    assert inspector.run.last("activation_saturated", "1") is not None
    assert len(inspector.run.series("activation_mean", "1")) == 11  # all but the first step after the change
    assert inspector.problems == []


@pytest.mark.parametrize("owner", ["model", "model, after forward()", "layer", "optimizer", "loss", "loader"])
def test_hooks_that_other_code_removed(owner):
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=1) as inspector:
        case.run(1)
        assert inspector.problems == []
        if owner == "loader":
            del case.train_loader._get_iterator
        else:
            {
                "model": case.model._forward_pre_hooks,
                "model, after forward()": case.model._forward_hooks,
                "layer": case.model[0]._forward_hooks,
                "optimizer": case.optimizer._optimizer_step_post_hooks,
                "loss": case.loss_fn._forward_hooks,
            }[owner].clear()
        assert inspector.problems == [
            "Other code removed hooks of nn_inspector: what they saw is missing now. Call watch() again."
        ]


def test_a_loader_that_two_watch_and_one_leaves_is_still_watched():
    case, other = classifier(), classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        second = nni.watch(other.model, other.optimizer, other.loss_fn, train_loader=case.train_loader)
        second.detach()
        case.run(1)
        assert inspector.problems == second.problems == []
    assert inspector.problems == []


UNSEEN = "The model's forward pass was not seen: it is compiled, torch.func calls it"
COMPILED = "Compiled, so that their outputs are not measured: {}. To see them, train some steps without compiling."

COMPILING = {
    "a layer": (lambda model, backend: model[0].compile(backend=backend), "0"),
    "a layer in a wrapper": (
        lambda model, backend: model.__setitem__(0, torch.compile(model[0], backend=backend)),
        "0",
    ),
    "the model": (lambda model, backend: model.compile(backend=backend), None),
}


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("late", [False, True], ids=["watched first", "watched after the first call"])
@pytest.mark.parametrize("what", COMPILING)
def test_what_is_compiled_and_not_seen_is_said(what, late, backend):
    torch._dynamo.reset()
    model, (x, y) = mlp(), blobs(16).tensors
    make, layer = COMPILING[what]
    make(model, backend)
    loss_fn = nn.CrossEntropyLoss()
    if late:
        loss_fn(model(x), y).backward()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, loss_fn, every=1) as inspector:
        for _ in range(4):
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
    (problem,) = inspector.problems
    assert problem.startswith(UNSEEN if layer is None else COMPILED.format(layer))
    assert inspector.run.sources("activation_mean") == ([] if layer is None else ["1", "2"])


def test_a_compiled_model_that_is_watched_as_such():
    torch._dynamo.reset()
    model = torch.compile(mlp(), backend="eager")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer) as inspector:
        steps(model, optimizer)
    assert [problem[:60] for problem in inspector.problems] == [COMPILED.format("0, 1, 2")[:60]]


def test_nothing_is_missed_of_a_compiled_layer_whose_outputs_are_not_wanted():
    torch._dynamo.reset()
    model = mlp()
    model[0].compile(backend="eager")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nni.watch(model, optimizer, probes="light") as inspector:
        steps(model, optimizer)
    assert inspector.problems == []


def test_networks_that_are_called_and_their_container_is_not():
    model = nn.ModuleDict({"generator": nn.Linear(4, 8), "critic": nn.Linear(8, 1)})
    optimizers = [torch.optim.SGD(part.parameters(), lr=0.1) for part in model.values()]
    loss_fn = nn.BCEWithLogitsLoss()
    with nni.watch(model, optimizers, loss_fn, every=1) as inspector:
        for _ in range(4):
            for optimizer, wanted in zip(optimizers, (1.0, 0.0), strict=True):
                optimizer.zero_grad()
                loss_fn(model["critic"](model["generator"](torch.randn(8, 4))), torch.full((8, 1), wanted)).backward()
                optimizer.step()
    assert inspector.run.sources("activation_mean") == ["generator", "critic"]
    (problem,) = inspector.problems
    assert problem == (
        "The model is not called as model(x), only its forward() or parts of it. They are measured, but in validation as "
        "well: it cannot be told from training. A loss that is no module is not seen."
    )


ELSEWHERE = (
    "The optimizer that is watched makes no steps, another one does: run the cell with watch() again after the one that "
    "makes model and optimizer."
)


@pytest.mark.parametrize("before", [0, 1])
def test_the_cell_with_the_model_was_run_again(before):
    case, again = classifier(), classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn) as inspector:
        case.run(before)
        again.run(1)
        assert inspector.problems == [ELSEWHERE]
        case.run(1)
        assert inspector.problems == []


class Sharpness(torch.optim.Optimizer):
    """As SAM: its two halves are called, not its step()."""

    def __init__(self, parameters):
        super().__init__(parameters, {"rho": 0.05})
        self.base_optimizer = torch.optim.SGD(self.param_groups, lr=0.1)

    @torch.no_grad()
    def first_step(self):
        for p in self.param_groups[0]["params"]:
            self.state[p]["moved"] = 0.05 * p.grad
            p.add_(self.state[p]["moved"])

    @torch.no_grad()
    def second_step(self):
        for p in self.param_groups[0]["params"]:
            p.sub_(self.state[p]["moved"])
        self.base_optimizer.step()


def test_an_optimizer_whose_inner_one_steps_is_said_by_its_name():
    case, (x, y) = classifier(), blobs(16).tensors
    optimizer = Sharpness(case.model.parameters())

    def train():
        for _ in range(4):
            for half in (optimizer.first_step, optimizer.second_step):
                optimizer.zero_grad()
                case.loss_fn(case.model(x), y).backward()
                half()

    with nni.watch(case.model, optimizer, case.loss_fn) as inspector:
        train()
        assert inspector.problems == [
            "The optimizer that is watched makes no steps, the one within it does: call watch() again with optimizer.base_optimizer."
        ]
    with nni.watch(case.model, optimizer.base_optimizer, case.loss_fn) as inspector:
        train()
        assert inspector.problems == []
        assert inspector.run.steps == 4


class Centres(nn.Module):
    def __init__(self):
        super().__init__()
        self.centres = nn.Parameter(torch.eye(CLASSES))

    def forward(self, output, target):
        return nn.functional.cross_entropy(-torch.cdist(output, self.centres), target)


@pytest.mark.parametrize("stepped", [True, False])
def test_parameters_of_the_loss_are_said_not_to_be_measured(stepped):
    case = classifier()
    case.loss_fn = Centres()
    if stepped:
        case.optimizer.add_param_group({"params": case.loss_fn.parameters()})
    with nni.watch(case.model, case.optimizer, case.loss_fn) as inspector:
        case.run(1)
        said = "The loss has parameters of its own, which the optimizer steps (centres)."
        assert [problem.startswith(said) for problem in inspector.problems] == [True] * stepped


def test_another_network_that_is_trained_afterwards_is_none_of_our_business():
    case = classifier()
    other = nn.Linear(FEATURES, CLASSES)
    with nni.watch(case.model, case.optimizer, case.loss_fn) as inspector:
        case.run(1)
        steps(other, torch.optim.SGD(other.parameters(), lr=0.1), 20)
        assert inspector.problems == []


def test_our_own_experiments_are_not_another_training():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        inspector.diagnose(budget=60)
        assert inspector.problems == []


def test_validation_takes_the_same_way_with_and_without_us():
    """Hooks would keep torch from its faster path through an encoder layer, which rounds otherwise."""

    def losses(watched, *, probes="full"):
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(FEATURES, 2, 16, dropout=0.0, batch_first=True)
        model = nn.Sequential(nn.Unflatten(1, (1, FEATURES)), layer, nn.Flatten(), nn.Linear(FEATURES, CLASSES))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        inspector = nni.watch(model, optimizer, every=1, probes=probes) if watched else None
        x, y = blobs(16).tensors
        found, hooked = [], []
        for _ in range(3):
            model.eval()
            with torch.no_grad():
                found.append(F.cross_entropy(model(x), y).item())
                hooked.append(any(module._forward_hooks for module in layer.modules()))
            model.train()
            steps(model, optimizer, 1)
        if inspector is not None:
            assert inspector.run.last("activation_mean", "1.linear1") is not None
            assert inspector.problems == []
            inspector.detach()
        return found, hooked

    bare, _ = losses(watched=False)
    watched, hooked = losses(watched=True)
    assert watched == bare
    assert not any(hooked)
