"""Training with and without us is bit-identical: losses, parameters, optimizer state and random state."""

import contextlib
import copy
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import nn_inspector as nni
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, mlp, state_of


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(2, 8, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        output, _ = self.rnn(x.reshape(len(x), -1, 2))
        return self.head(output[:, -1])


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(2, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.head(self.block(self.embed(x.reshape(len(x), -1, 2))).mean(1))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(FEATURES, FEATURES)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, x):
        return self.head(self.act(self.one(self.act(self.one(x)))))


class DictOutput(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = mlp()

    def forward(self, x):
        return {"logits": self.inner(x)}


class Augmented(Dataset):
    """Draws from all three global generators."""

    def __init__(self):
        self.data = blobs()

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        x, y = self.data[index]
        return x + 0.01 * (torch.randn(()) + random.random() + np.random.rand()), y


class Stream(IterableDataset):
    def __iter__(self):
        yield from blobs()


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), **{"lr": 0.05, "momentum": 0.9, **options})


def case(model=mlp, optimizer=sgd, loss_fn=nn.CrossEntropyLoss, data=blobs, **loader):
    def make():
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        net = model()
        return Case(net, optimizer(net), loss_fn(), DataLoader(data(), batch_size=16, **{"shuffle": True, **loader}))

    return make


def plain(c):
    return c.run(3)


def functional(c):
    c.loss_fn = F.cross_entropy
    return c.run(3)


def with_penalty(c):
    losses = []
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        loss = loss + 1e-3 * sum(p.pow(2).sum() for p in c.model.parameters())
        loss.backward()
        c.optimizer.step()
        losses.append(loss.item())
    return losses


def accumulating(c):
    losses = []
    for index, (x, y) in enumerate(c.train_loader):
        loss = c.loss_fn(c.model(x), y) / 2
        loss.backward()
        if index % 2:
            torch.nn.utils.clip_grad_norm_(c.model.parameters(), 0.5)
            c.optimizer.step()
            c.optimizer.zero_grad(set_to_none=False)
        losses.append(loss.item())
    return losses


def with_validation(c):
    losses = []
    for _ in range(2):
        losses += c.run(1)
        c.model.eval()
        with torch.no_grad():
            losses += [c.loss_fn(c.model(x), y).item() for x, y in c.train_loader]
        c.model.train()
    return losses


def with_scheduler(c):
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(c.optimizer, 4)
    losses = []
    for _ in range(3):
        losses += c.run(1)
        scheduler.step()
    return losses


def with_closure(c):
    losses = []
    for x, y in c.train_loader:

        def closure(x=x, y=y):
            c.optimizer.zero_grad()
            loss = c.loss_fn(c.model(x), y)
            loss.backward()
            return loss

        losses.append(c.optimizer.step(closure).item())
    return losses


def in_place_loss(c):
    losses = []
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        loss *= 0.5
        loss.backward()
        c.optimizer.step()
        losses.append(loss.item())
    return losses


def from_a_dict(c):
    losses = []
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        loss = F.cross_entropy(c.model(x)["logits"], y)
        loss.backward()
        c.optimizer.step()
        losses.append(loss.item())
    return losses


def mixed_precision(c):
    losses = []
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = c.loss_fn(c.model(x), y)
        loss.backward()
        c.optimizer.step()
        losses.append(loss.item())
    return losses


def under_a_device(c):
    with torch.device("cpu"):
        return c.run(2)


def by_the_step(
    around_forward=contextlib.nullcontext,
    around_loss=contextlib.nullcontext,
    around_step=contextlib.nullcontext,
    loss_fn=F.cross_entropy,
):
    """A loop that enters something of the user's at some place of each step."""

    def loop(c):
        losses = []
        for _ in range(2):
            for x, y in c.train_loader:
                c.optimizer.zero_grad()
                with around_forward():
                    output = c.model(x)
                    with around_loss():
                        torch.zeros(2)
                        loss = loss_fn(output, y) if loss_fn else c.loss_fn(output, y)
                with around_step():
                    loss.backward()
                    c.optimizer.step()
                losses.append(loss.item())
        return losses

    return loop


def from_forward_to_step(c):
    """Entered behind the forward pass, left behind the next one."""
    losses, entered = [], None
    for x, y in c.train_loader:
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        if entered is not None:
            entered.__exit__(None, None, None)
        entered = torch.device("cpu")
        entered.__enter__()
        loss.backward()
        c.optimizer.step()
        losses.append(loss.item())
    entered.__exit__(None, None, None)
    return losses


def breaking_off(c):
    """An exception ends a block in which the model ran."""
    with pytest.raises(KeyError), torch.device("cpu"):
        c.loss_fn(c.model(blobs(16).tensors[0]), blobs(16).tensors[1]).backward()
        raise KeyError
    return c.run(2)


def default_device(c):
    torch.set_default_device("cpu")
    try:
        return by_the_step(around_loss=meta)(c)
    finally:
        torch.set_default_device(None)


def default_device_meanwhile(c):
    """Set behind a forward pass, and reset behind another."""
    losses = []
    for index, (x, y) in enumerate(c.train_loader):
        c.optimizer.zero_grad()
        loss = c.loss_fn(c.model(x), y)
        torch.set_default_device("cpu" if index % 2 else None)
        loss.backward()
        c.optimizer.step()
        losses.append(loss.item())
    torch.set_default_device(None)
    return losses


def meta():
    return torch.device("meta")


class Quiet(TorchFunctionMode):
    """A mode of the user's, which does nothing."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


COMBINATIONS = {
    "mlp sgd": (case(), plain),
    "functional loss": (case(), functional),
    "penalty in the loss": (case(), with_penalty),
    "accumulation and clipping": (case(), accumulating),
    "validation between epochs": (case(), with_validation),
    "scheduler": (case(), with_scheduler),
    "adam": (case(optimizer=lambda m: torch.optim.Adam(m.parameters())), plain),
    "adamw foreach": (case(optimizer=lambda m: torch.optim.AdamW(m.parameters(), foreach=True)), plain),
    "adam fused": (case(optimizer=lambda m: torch.optim.Adam(m.parameters(), fused=True)), plain),
    "lbfgs": (case(optimizer=lambda m: torch.optim.LBFGS(m.parameters(), max_iter=3)), with_closure),
    "in-place operation on the loss": (case(), in_place_loss),
    "batch norm and dropout": (
        case(
            lambda: nn.Sequential(
                nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, CLASSES)
            )
        ),
        plain,
    ),
    "lstm": (case(Recurrent), plain),
    "transformer": (case(Attending), plain),
    "tied weights and in-place relu": (case(Tied), plain),
    "dict output": (case(DictOutput), from_a_dict),
    "bfloat16 autocast": (case(), mixed_precision),
    "a device around the loop": (case(), under_a_device),
    "a device around the forward pass": (case(), by_the_step(around_forward=meta)),
    "a device around the loss": (case(), by_the_step(around_loss=meta)),
    "a device around the step": (case(), by_the_step(around_step=meta)),
    "a device in a device": (case(), by_the_step(around_forward=meta, around_loss=meta)),
    "a device from the forward pass to the next": (case(), from_forward_to_step),
    "an exception in the block of a device": (case(), breaking_off),
    "a default device": (case(), default_device),
    "a default device meanwhile": (case(), default_device_meanwhile),
    "a mode around the forward pass": (case(), by_the_step(around_forward=Quiet, loss_fn=None)),
    "a mode around the loss": (case(), by_the_step(around_loss=Quiet)),
    "a mode around the step": (case(), by_the_step(around_step=Quiet)),
    "augmentation": (case(data=Augmented), plain),
    "iterable data set": (case(data=Stream, shuffle=False), plain),
    "two workers": (case(data=Augmented, num_workers=2), plain),
    "persistent workers": (case(num_workers=1, persistent_workers=True), plain),
    "frozen layer": (case(lambda: _freeze(mlp())), plain),
    "channels last": (
        case(
            lambda: nn.Sequential(
                nn.Unflatten(1, (1, 2, 4)), nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(32, CLASSES)
            ).to(memory_format=torch.channels_last)
        ),
        plain,
    ),
}


def _freeze(model):
    model[0].requires_grad_(False)
    return model


@pytest.mark.parametrize("probes", ["standard", "full"])
@pytest.mark.parametrize("name", COMBINATIONS)
def test_watching_changes_nothing(name, probes):
    make, loop = COMBINATIONS[name]
    bare = make()
    losses = loop(bare)
    expected = state_of(bare)

    watched = make()
    with nni.watch(
        watched.model, watched.optimizer, watched.loss_fn, train_loader=watched.train_loader, every=1, probes=probes
    ) as inspector:
        watched_losses = loop(watched)
    assert watched_losses == losses
    assert_equal(state_of(watched), expected)
    assert inspector.run.steps > 0
    assert inspector.problems == []
    assert inspector.run.last("loss", "train") is not None
    assert torch.overrides._get_current_function_mode_stack() == []
    assert torch.get_default_device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["mlp sgd", "adam", "batch norm and dropout", "lstm", "augmentation", "two workers"])
def test_a_diagnosis_in_the_middle_changes_nothing(name):
    make, loop = COMBINATIONS[name]
    bare = make()
    losses = loop(bare) + loop(bare)
    expected = state_of(bare)

    watched = make()
    with nni.watch(watched.model, watched.optimizer, watched.loss_fn, train_loader=watched.train_loader) as inspector:
        watched_losses = loop(watched)
        modes = [module.training for module in watched.model.modules()]
        gradients = [p.grad for p in watched.model.parameters()]
        diagnosis = inspector.diagnose(budget=300.0)
        assert [module.training for module in watched.model.modules()] == modes
        assert all(p.grad is before for p, before in zip(watched.model.parameters(), gradients, strict=True))
        watched_losses += loop(watched)
    assert watched_losses == losses
    assert_equal(state_of(watched), expected)
    assert not [finding for finding in diagnosis.findings if "failed itself" in finding.message]


def hook_dictionaries(model, optimizer, loss_fn):
    """Every registry of hooks that torch keeps on these objects, by size, and attributes that were added."""
    names = (
        "_forward_hooks",
        "_forward_pre_hooks",
        "_backward_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
    )
    modules = [*model.modules(), loss_fn]
    return (
        [[len(getattr(module, name)) for name in names] for module in modules],
        [sorted(vars(module)) for module in modules],
        [p._backward_hooks for p in model.parameters()],
        len(optimizer._optimizer_step_pre_hooks),
        len(optimizer._optimizer_step_post_hooks),
    )


@pytest.mark.parametrize("steps", [0, 3, 30])
def test_detach_restores_every_registry(steps):
    c = case()()
    before = hook_dictionaries(c.model, c.optimizer, c.loss_fn)
    attributes = sorted(vars(c.train_loader))
    inspector = nni.watch(c.model, c.optimizer, c.loss_fn, train_loader=c.train_loader)
    for _ in range(steps):
        x, y = blobs(16).tensors
        c.optimizer.zero_grad()
        c.loss_fn(c.model(x), y).backward()
        c.optimizer.step()
    inspector.detach()
    inspector.detach()
    assert hook_dictionaries(c.model, c.optimizer, c.loss_fn) == before
    assert sorted(vars(c.train_loader)) == attributes
    assert torch.overrides._get_current_function_mode_stack() == []


def test_nothing_of_ours_in_the_state_dict():
    c = case()()
    keys = list(c.model.state_dict()), list(c.optimizer.state_dict())
    with nni.watch(c.model, c.optimizer, c.loss_fn):
        assert (list(c.model.state_dict()), list(c.optimizer.state_dict())) == keys


def test_a_copy_does_not_report_to_us_and_trains_the_same():
    c = case()()
    with nni.watch(c.model, c.optimizer, c.loss_fn, train_loader=c.train_loader, every=1) as inspector:
        model, optimizer, loss_fn, loader = copy.deepcopy((c.model, c.optimizer, c.loss_fn, c.train_loader))
        Case(model, optimizer, loss_fn, loader).run(1)
        assert inspector.run.steps == 0
        assert inspector.run.epochs("train") == []
        c.run(1)
    assert inspector.run.steps == 6
    assert copy.deepcopy(loader).batch_size == 16
    assert len(list(copy.deepcopy(loader))) == 6


def test_an_average_model_does_not_report_to_us():
    c = case()()
    with nni.watch(c.model, c.optimizer, c.loss_fn, every=1) as inspector:
        average = torch.optim.swa_utils.AveragedModel(c.model)
        x = blobs(16).tensors[0]
        c.run(1)
        average.update_parameters(c.model)
        passes = inspector._attachment.forward_passes
        average(x)
        assert inspector._attachment.forward_passes == passes


def test_a_saved_model_opens_where_we_are_not_installed(tmp_path):
    import subprocess
    import sys
    import textwrap

    c = case()()
    with nni.watch(c.model, c.optimizer, c.loss_fn, train_loader=c.train_loader, every=1):
        c.run(1)
        torch.save((c.model, c.loss_fn, c.train_loader, c.optimizer.state_dict()), tmp_path / "all.pt")
    script = textwrap.dedent("""
        import sys
        sys.modules["nn_inspector"] = None
        import torch
        model, loss_fn, loader, state = torch.load(sys.argv[1], weights_only=False)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        optimizer.load_state_dict(state)
        for x, y in loader:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
        torch.save(model, sys.argv[1])
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "all.pt"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_watching_again_replaces_the_earlier_inspector():
    c = case()()
    first = nni.watch(c.model, c.optimizer, c.loss_fn)
    second = nni.watch(c.model, c.optimizer, c.loss_fn)
    c.run(1)
    assert (first.run.steps, second.run.steps) == (0, 6)
    second.detach()


def test_an_inspector_that_nobody_keeps_goes_on_watching():
    import gc

    from nn_inspector.watching import current_inspector

    c = case()()
    nni.watch(c.model, c.optimizer, c.loss_fn)
    gc.collect()
    c.run(1)
    inspector = current_inspector()
    assert inspector is not None
    assert inspector.run.steps == 6
    inspector.detach()
    assert current_inspector() is None


def test_two_models_with_one_loss_module_do_not_mix():
    a, b = case()(), case(optimizer=lambda m: sgd(m, lr=0.0))()
    b.loss_fn = a.loss_fn
    first = nni.watch(a.model, a.optimizer, a.loss_fn, every=1)
    second = nni.watch(b.model, b.optimizer, b.loss_fn, every=1)
    losses = a.run(2)
    assert first.run.series("loss", "train").values.tolist() == pytest.approx(losses)
    assert len(second.run.series("loss", "train")) == 0
    losses_of_b = b.run(1)
    assert second.run.series("loss", "train").values.tolist() == pytest.approx(losses_of_b)
    assert len(first.run.series("loss", "train")) == 12
    first.detach()
    second.detach()


def test_data_set_with_a_tensor_is_not_copied():
    """A probe that kept tensors would keep them alive."""
    import gc
    import weakref

    c = case()()
    with nni.watch(c.model, c.optimizer, c.loss_fn, every=1):
        x, y = TensorDataset(*blobs(16).tensors).tensors
        output = c.model(x)
        reference = weakref.ref(output)
        c.loss_fn(output, y).backward()
        c.optimizer.step()
        del output
        gc.collect()
        assert reference() is None
