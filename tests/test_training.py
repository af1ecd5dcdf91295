"""Bad input gets an error that names the argument, what was expected, what came, and what to do."""

import functools

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import nn_inspector as nni
from nn_inspector.errors import describe
from nn_inspector.training import Training, split_batch
from tests.trainings import blobs, classifier, mlp

MODEL = mlp()
OPTIMIZER = torch.optim.SGD(MODEL.parameters(), lr=0.1)
LOADER = DataLoader(blobs(), batch_size=16)


def on_meta():
    with torch.device("meta"):
        return nn.Linear(2, 2)


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (([1, 2],), "model: expected a torch.nn.Module, got a list of 2 items. Pass the network"),
        ((nn.Linear,), "model: expected a torch.nn.Module, got the class Linear itself."),
        ((nn.CrossEntropyLoss(),), "model: expected a network with parameters, got a CrossEntropyLoss without any."),
        ((torch.jit.script(mlp()),), "model: expected a module that Python runs, got a TorchScript module, which takes no hooks."),
        ((on_meta(),), "model: expected parameters with values, got parameters on the meta device, which have none."),
        ((MODEL, "adam"), "optimizer: expected a torch.optim.Optimizer, got a str. Pass the optimizer whose step"),
        ((MODEL, torch.optim.lr_scheduler.StepLR(OPTIMIZER, 1)), "Pass the optimizer itself: scheduler.optimizer."),
        ((MODEL, [OPTIMIZER, None]), "optimizer: expected a torch.optim.Optimizer, got None."),
        ((MODEL, OPTIMIZER, nn.CrossEntropyLoss), "Make an instance of it: CrossEntropyLoss()."),
        ((MODEL, OPTIMIZER, torch.tensor(1.0)), "loss_fn: expected a function or module, got a Tensor of shape [] and type torch.float32."),
        ((MODEL, OPTIMIZER, None, {"train_loader": []}), "train_loader: expected at least one batch, got an empty loader."),
        ((MODEL, OPTIMIZER, None, {"train_loader": 7}), "train_loader: expected an iterable of batches, got an int."),
        ((MODEL, OPTIMIZER, None, {"val_loader": torch.zeros(3, 2)}), "val_loader: expected an iterable of batches, got a Tensor"),
        ((MODEL, OPTIMIZER, None, {"train_loader": DataLoader(blobs(4), batch_size=8, drop_last=True)}), "drop_last with a batch size larger"),
        ((MODEL, OPTIMIZER, None, {"step": "loss"}), "step: expected a function or module, got a str."),
        ((MODEL, OPTIMIZER, None, {"loop": "train()"}), "loop: expected the function that trains, or a list of such functions, got a str. It is read, not called"),
        ((MODEL, OPTIMIZER, None, {"loop": MODEL}), "loop: expected the function that trains, or a list of such functions, got a"),
        ((MODEL, OPTIMIZER, None, {"loop": [len]}), "loop: expected the function that trains, or a list of such functions, got a builtin_function_or_method."),
        ((MODEL, OPTIMIZER, None, {"loop": nn.Linear}), "got the class Linear itself."),
        ((MODEL, OPTIMIZER, None, {"loop": []}), "loop: expected at least one function, got an empty list."),
        ((MODEL, OPTIMIZER, None, {"every": 0}), 'every: expected a number of steps from 1, or "auto", got 0.'),
        ((MODEL, OPTIMIZER, None, {"every": True}), 'every: expected a number of steps from 1, or "auto", got True.'),
        ((MODEL, OPTIMIZER, None, {"max_overhead": 3}), "max_overhead: expected a share between 0 and 1, got 3. 0.03 means 3 %."),
        ((MODEL, OPTIMIZER, None, {"max_overhead": "low"}), "max_overhead: expected a share between 0 and 1, got 'low'."),
    ],
)  # fmt: skip
def test_bad_arguments_of_watch(arguments, error):
    options = arguments[-1] if isinstance(arguments[-1], dict) else {}
    with pytest.raises(nni.ArgumentError) as raised:
        nni.watch(*(a for a in arguments if a is not options), **options)
    assert error in str(raised.value)
    assert not MODEL._forward_pre_hooks, "a refused call leaves no hook behind"


@pytest.mark.parametrize(
    ("loader", "accepted"),
    [
        (LOADER, True),
        (list(LOADER), True),
        (tuple(LOADER), True),
        (iter(LOADER), True),
        (DataLoader(Stream()), True),
        (None, True),
    ],
)
def test_anything_that_can_be_iterated_is_a_loader(loader, accepted):
    assert Training(MODEL, OPTIMIZER, train_loader=loader).train_loader is loader


class Trainer:
    def fit(self):
        raise AssertionError("a loop is never called")

    def __call__(self):
        raise AssertionError("a loop is never called")


def train():
    raise AssertionError("a loop is never called")


@pytest.mark.parametrize(
    ("loop", "count"),
    [
        (None, 0),
        (train, 1),
        (Trainer().fit, 1),
        (Trainer.fit, 1),
        (Trainer(), 1),
        (functools.partial(Trainer()), 1),
        ([train, Trainer.fit], 2),
        ((train,), 1),
        (functools.wraps(train)(lambda: None), 1),
        (torch.no_grad()(train), 1),
        (functools.partial(train, 3), 1),
        (lambda: None, 1),
    ],
)
def test_a_loop_is_one_function_or_several(loop, count):
    with nni.watch(MODEL, OPTIMIZER, loop=loop) as inspector:
        assert len(inspector.training.loop) == count


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (
            {"x": 1, "y": 2},
            r"yields a dict with the keys 'x', 'y', and which of them.*step=lambda model, batch: loss_fn\(model\(batch\['x'\]\)",
        ),
        (torch.zeros(4, 2), r"yields a Tensor of shape \[4, 2\].*not \(input, target\).*step=lambda model, batch"),
        ((torch.zeros(4, 2),), r"yields a tuple of 1 items"),
        ("text", r"yields a str"),
    ],
)
def test_batches_that_do_not_say_what_is_what(batch, message):
    with pytest.raises(nni.ExperimentError, match=message):
        split_batch(batch)


def test_the_last_part_of_a_batch_is_the_target():
    assert split_batch((1, 2, 3)) == ((1, 2), 3)
    assert split_batch([1, 2]) == ((1,), 2)


def hinge(score, side):
    return (1 - score * side).clamp(min=0).mean()


class Lone(nn.Module):
    def forward(self, score, side):
        return hinge(score, side)


@pytest.mark.parametrize("loss_fn", [hinge, Lone()])
def test_a_column_is_judged_as_the_row_that_it_stands_for(loss_fn):
    """By a loss of one's own, where it was not seen what the loop does between the model and it."""
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    x, side = torch.randn(6, 4), torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0])
    training = Training(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn)
    assert torch.equal(training.loss(model, loss_fn, (x, side)), hinge(model(x), side)), "no loop was seen yet"
    training.note_step()
    assert torch.equal(training.loss(model, loss_fn, (x, side)), hinge(model(x)[:, 0], side))
    assert torch.equal(training.loss(model, loss_fn, (x, side[:, None])), hinge(model(x), side[:, None]))


def test_a_loss_that_takes_the_column_itself_is_left_to_it():
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    x, y = torch.randn(6, 4), torch.randn(6)

    def loss_fn(output, target):
        return (output[:, 0] - target).square().mean()

    training = Training(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn)
    training.note_step()
    assert torch.equal(training.loss(model, loss_fn, (x, y)), loss_fn(model(x), y))


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_what_torch_says_of_two_shapes_is_left_as_it_is():
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    x, y = torch.randn(6, 4), torch.randn(6)
    training = Training(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss())
    assert torch.equal(training.loss(model, nn.MSELoss(), (x, y)), (model(x) - y).square().mean())


def test_a_loader_that_yields_dicts_is_answered_in_the_finding():
    data = [{"x": x, "y": y} for x, y in zip(*blobs(32).tensors, strict=True)]
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(data, batch_size=8)
    with nni.watch(model, optimizer, nn.CrossEntropyLoss(), train_loader=loader) as inspector:
        finding = inspector.check("initial_loss")
    assert finding.severity == "skipped"
    assert "a dict with the keys 'x', 'y'" in finding.message
    assert "step=" in finding.message

    def step(net, batch):
        return nn.functional.cross_entropy(net(batch["x"]), batch["y"])

    with nni.watch(model, optimizer, train_loader=loader, step=step) as inspector:
        assert inspector.check("initial_loss").severity == "ok"
        assert inspector.check("one_batch_fit", seconds=300).severity == "ok"


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda o, t: o.mean().item(), "should be a tensor with one number, but it is a float"),
        (lambda o, t: (o, t), "a tuple of 2 items"),
    ],
)
def test_a_loss_that_is_no_scalar_tensor(loss, message):
    case = classifier()
    with nni.watch(case.model, case.optimizer, loss, train_loader=case.train_loader) as inspector:
        finding = inspector.check("initial_loss")
    assert finding.severity == "skipped"
    assert message in finding.message


def test_what_a_training_consists_of():
    case = classifier(weight_decay=0.01)
    facts = Training(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader).describe()
    assert facts["model"] == "Sequential"
    assert facts["modules"]["1"] == "ReLU"
    assert facts["parameters"] == facts["trainable_parameters"] == 212
    assert facts["loss_fn"] == "CrossEntropyLoss"
    group = facts["optimizers"][0]["groups"][0]
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.01)
    assert group["parameters"] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert facts["loaders"]["train"] == {
        "type": "DataLoader", "batches": 6, "batch_size": 16, "sampler": "RandomSampler", "workers": 0, "items": 96,
    }  # fmt: skip
    import json

    json.dumps(facts)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        (3, "an int"),
        ([], "a list of 0 items"),
        ({}, "an empty dict"),
        (torch.zeros(2, 3), "a Tensor of shape [2, 3] and type torch.float32"),
        (nn.Linear, "the class Linear itself"),
        (TensorDataset(), "a TensorDataset"),
    ],
)
def test_values_in_words(value, words):
    assert describe(value) == words


def test_the_weights_after_the_first_step_are_remembered():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn) as inspector:
        training = inspector.training
        assert training.after_first_step is None
        x, y = blobs(16).tensors
        rate, case.optimizer.param_groups[0]["lr"] = case.optimizer.param_groups[0]["lr"], 0.0
        for steps in range(3):
            case.optimizer.zero_grad()
            case.loss_fn(case.model(x), y).backward()
            case.optimizer.step()
            if steps == 0:
                assert training.after_first_step is None, "a step at rate 0 changes nothing"
                case.optimizer.param_groups[0]["lr"] = rate
            elif steps == 1:
                expected = {name: value.clone() for name, value in case.model.state_dict().items()}
    assert training.after_first_step.keys() == training.initial.keys()
    assert all(torch.equal(training.after_first_step[name], value) for name, value in expected.items())


def test_a_large_model_has_no_first_step(monkeypatch):
    monkeypatch.setattr("nn_inspector.training.INITIAL_WEIGHTS_LIMIT", 100)
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn) as inspector:
        case.run(1)
    assert inspector.training.after_first_step is None


def test_a_model_on_the_meta_device_that_the_model_holds_for_its_shape_is_left_alone():
    model = mlp()
    model.base = [on_meta()]
    with nni.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()) as inspector:
        assert inspector.training.beginning.unregistered == {}


def test_several_optimizers_may_come_in_a_list_or_a_dict():
    model = mlp()
    first, second = (torch.optim.SGD(part.parameters(), lr=0.1) for part in (model[0], model[2]))
    for given in ([first, second], {"first": first, "second": second}):
        with nni.watch(model, given, nn.CrossEntropyLoss()) as inspector:
            assert inspector.training.optimizers == [first, second]
    with pytest.raises(nni.ArgumentError, match="got a dict"):
        nni.watch(model, {"first": {"second": second}}, nn.CrossEntropyLoss())


@pytest.mark.parametrize(
    "losses",
    [
        {"kind": nn.CrossEntropyLoss(), "size": nn.MSELoss()},
        [nn.CrossEntropyLoss(), nn.functional.mse_loss],
        nn.ModuleDict({"kind": nn.CrossEntropyLoss()}),
        nn.ModuleList([nn.CrossEntropyLoss()]),
    ],
)
def test_several_losses_are_seen_as_the_loop_calls_them(losses):
    assert Training(MODEL, OPTIMIZER, losses).loss_fn is None


@pytest.mark.parametrize("losses", [{}, [], {"kind": 1.0}, [nn.CrossEntropyLoss]])
def test_what_holds_no_losses_is_refused(losses):
    with pytest.raises(nni.ArgumentError, match="loss_fn: expected a function or module"):
        Training(MODEL, OPTIMIZER, losses)
