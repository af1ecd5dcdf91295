import threading

import pytest
import torch
import torch.nn.utils.prune
from torch import nn

import nn_inspector as nni
from nn_inspector.experiments import isolated, train
from nn_inspector.training import Training
from tests.trainings import FEATURES, Case, assert_equal, blobs, classifier, state_of

FEATS = []
BY_NAME = {}


class Collector:
    def __init__(self, locked):
        self.seen = []
        self.lock = threading.Lock() if locked else None  # it cannot be copied

    def hook(self, module, args, output):
        self.seen.append(output)

    def __call__(self, module, args, output):
        self.seen.append(output)


def collect(case, locked):
    """Ways to look at a layer, each with what it fills."""
    feats, collector, called, grads = [], Collector(locked), Collector(locked), []

    def by_name(name):
        def hook(module, args, output):
            BY_NAME[name] = output.detach()

        return hook

    def by_module(module, args, output):
        names[module].append(output)

    names = {module: [] for module in case.model.modules()}
    BY_NAME.clear()
    FEATS.clear()
    layer = case.model[1]
    layer.register_forward_hook(lambda m, i, o: feats.append(o))
    layer.register_forward_hook(lambda m, i, o: FEATS.append(o))
    layer.register_forward_hook(by_name("one"))
    layer.register_forward_hook(collector.hook)
    layer.register_forward_hook(called)
    layer.register_forward_hook(by_module)
    layer.register_forward_pre_hook(lambda m, i, k: feats.append(i), with_kwargs=True)
    layer.register_full_backward_hook(lambda m, i, o: grads.append(o))
    case.model[0].weight.register_hook(grads.append)
    return [feats, FEATS, BY_NAME, collector.seen, called.seen, names, names[layer], grads]


@pytest.mark.parametrize("locked", [False, True])
def test_a_diagnosis_puts_nothing_into_the_users_lists(locked):
    case = classifier()
    filled = collect(case, locked)
    case.run(1)
    before = [list(held) if isinstance(held, list) else dict(held) for held in filled]
    losses = case.run(1)

    case = classifier()
    filled = collect(case, locked)
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        case.run(1)
        sizes = [len(held) for held in filled]
        findings = inspector.diagnose(budget=300).findings
        assert [len(held) for held in filled] == sizes == [len(held) for held in before]
        assert case.run(1) == losses
    assert not [finding for finding in findings if "failed itself" in finding.message], findings


class Limit:
    """A hook with a state of its own."""

    def __init__(self):
        self.calls = 0

    def __call__(self, module, args, output):
        self.calls += 1
        return output.clamp(-1, 1)


def in_place(module, args, output):
    output.mul_(0.5)


def new_weight(module, args):
    module.scale = module.weight.detach().norm()


def hooked(kind):
    case = classifier()
    layer, model = case.model[0], case.model
    {
        "returns another output": lambda: layer.register_forward_hook(lambda m, i, o: o * 0.5),
        "changes the output in place": lambda: layer.register_forward_hook(in_place),
        "returns another input": lambda: layer.register_forward_pre_hook(lambda m, i: (i[0] * 0.1,)),
        "sets an attribute of the module": lambda: layer.register_forward_pre_hook(new_weight),
        "has a state": lambda: layer.register_forward_hook(Limit()),
        "clips a gradient": lambda: layer.weight.register_hook(lambda g: g.clamp(-1e-3, 1e-3)),
        "changes a gradient in place": lambda: layer.weight.register_hook(lambda g: (g.mul_(0.0), None)[1]),
        "changes what flows back": lambda: layer.register_full_backward_hook(lambda m, i, o: tuple(i)),
        "changes what flows in": lambda: layer.register_full_backward_pre_hook(lambda m, o: (o[0] * 0.1,)),
        "spectral norm": lambda: nn.utils.spectral_norm(layer),
        "weight norm": lambda: nn.utils.weight_norm(layer),
        "pruning": lambda: nn.utils.prune.random_unstructured(layer, "weight", 0.5),
        "of the model itself": lambda: model.register_forward_hook(lambda m, i, o: o * 2),
        "with keywords": lambda: layer.register_forward_hook(lambda m, i, k, o: o * 0.5, with_kwargs=True),
    }[kind]()
    case.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return case


KINDS = (
    "returns another output",
    "changes the output in place",
    "returns another input",
    "sets an attribute of the module",
    "has a state",
    "clips a gradient",
    "changes a gradient in place",
    "changes what flows back",
    "changes what flows in",
    "spectral norm",
    "weight norm",
    "pruning",
    "of the model itself",
    "with keywords",
)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_hook_that_belongs_to_the_network_belongs_to_its_copy(kind):
    """The copy trains as the original does, and the original is not touched by it."""
    case = hooked(kind)
    batches = [blobs(16, seed=seed).tensors for seed in range(3)]
    case.model(batches[0][0])
    before = state_of(case)
    with isolated(Training(case.model, case.optimizer, case.loss_fn)) as copied:
        losses = train(copied, batches, steps=6)
    assert_equal(state_of(case), before)
    expected = []
    for step in range(7):
        x, y = batches[step % 3]
        case.optimizer.zero_grad()
        loss = case.loss_fn(case.model(x), y)
        expected.append(loss.item())
        loss.backward()
        case.optimizer.step()
    assert losses == pytest.approx(expected, rel=1e-5)


def test_a_hook_that_looks_on_is_called_once():
    calls = []
    case = classifier()

    def hook(module, args, output):
        calls.append(1)
        assert len(calls) < 3

    case.model[0].register_forward_hook(hook)
    with isolated(Training(case.model, case.optimizer, case.loss_fn)) as copied:
        train(copied, [blobs(16).tensors], steps=5)
        assert len(calls) == 1
    assert calls == []


def test_hooks_of_every_module_leave_no_trace():
    seen = []
    handle = nn.modules.module.register_module_forward_hook(lambda m, i, o: seen.append(o))
    try:
        case = classifier()
        with isolated(Training(case.model, case.optimizer, case.loss_fn)) as copied:
            train(copied, [blobs(16).tensors], steps=2)
    finally:
        handle.remove()
    assert seen == []


def test_the_step_function_may_log():
    losses, counter = [], {"calls": 0}

    def step(model, batch):
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        losses.append(loss.item())
        counter["calls"] += 1
        return loss

    case = classifier()
    with isolated(Training(case.model, case.optimizer, step=step)) as copied:
        train(copied, [blobs(16).tensors], steps=5)
    assert losses == []
    assert counter == {"calls": 0}


class Remembering(nn.Module):
    """Keeps tensors with a graph, as many models do to look at them later."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(FEATURES, 8), nn.Linear(8, 4)
        self.register_buffer("last", torch.zeros(8))
        self.history = []

    def forward(self, x):
        self.features = self.body(x)
        self.outputs = {"relu": [self.features.relu()]}
        self.last = self.features.mean(0)
        self.history.append(self.features)
        return self.head(self.features)


def test_a_model_that_keeps_tensors_with_a_graph_is_copied():
    torch.manual_seed(0)
    model = Remembering()
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), classifier().train_loader)
    with nni.watch(model, case.optimizer, case.loss_fn, train_loader=case.train_loader) as inspector:
        case.run(1)
        kept, history = model.features, list(model.history)
        findings = inspector.diagnose(budget=300).findings
    assert model.features is kept
    assert kept.grad_fn is not None
    assert all(a is b for a, b in zip(model.history, history, strict=True))
    assert not [finding for finding in findings if "failed itself" in finding.message]


def test_a_loss_that_keeps_tensors_with_a_graph_is_copied():
    class Keeping(nn.CrossEntropyLoss):
        def forward(self, prediction, target):
            self.prediction = prediction
            return super().forward(prediction, target)

    case = classifier()
    case.loss_fn = Keeping()
    case.run(1)
    with isolated(Training(case.model, case.optimizer, case.loss_fn)) as copied:
        assert len(train(copied, [blobs(16).tensors], steps=2)) == 3
