"""What is read from the source of a loop."""

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

from nn_inspector.checks.loop.reading import Held
from nn_inspector.checks.loop.source import _read_forward, _read_items, _read_loop
from nn_inspector.training import Training
from tests.trainings import FEATURES, blobs, classifier, mlp

model = mlp()


other = nn.Linear(FEATURES, FEATURES)


optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


other_optimizer = torch.optim.SGD(other.parameters(), lr=0.1)


scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)


scaler = torch.amp.GradScaler("cpu")


criterion = nn.CrossEntropyLoss()


train_loader = DataLoader(blobs(), batch_size=16, shuffle=True)


val_loader = DataLoader(blobs(seed=1), batch_size=16)


debug, use_amp, k = False, True, 4


watched = Training(model, optimizer, criterion, train_loader=train_loader, val_loader=val_loader)


def read(loop):
    return _read_loop(
        Training(model, optimizer, criterion, train_loader=train_loader, val_loader=val_loader, loop=loop)
    )


def kinds(loop, *, without=("assign", "cut")):
    return [event.kind for event in read(loop).events if event.kind not in without]


def usual():
    for _ in range(3):
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            for x, y in val_loader:
                criterion(model(x), y)


def test_a_usual_loop_is_read_in_order_with_its_places():
    reading = read(usual)
    step = ["zero_grad", "forward", "loss", "backward", "clip", "step"]
    assert kinds(usual) == ["train", *step, "scheduler", "eval", "forward", "loss"]
    first = usual.__code__.co_firstlineno
    assert reading.place("step") == f"line {first + 8}: optimizer.step()"
    assert [loop.over for loop in reading.first("step").loops] == ["range", "batches"]
    assert [loop.over for loop in reading.first("scheduler").loops] == ["range"]
    forward = reading.of("forward")[1]
    assert (forward.no_grad, forward.loops[-1].over, forward.target) == (True, "validation", model)
    clip = reading.first("clip")
    assert (clip.options["how"], clip.options["limit"], clip.target) == ("norm", 1.0, {Held(model)})
    assert reading.first("step").target is optimizer
    assert [event.kind for event in reading.rounds[0]] == [
        "assign", "assign", "zero_grad", "forward", "loss", "assign", "backward", "clip", "step"
    ]  # fmt: skip


def train_one_epoch(net, loader, opt):
    for batch in loader:
        step_on(net, batch, opt)


def step_on(net, batch, opt, grad_clip=None):
    opt.zero_grad()
    F.cross_entropy(net(batch[0]), batch[1]).backward()
    if grad_clip is not None:
        nn.utils.clip_grad_norm_(net.parameters(), grad_clip)
    opt.step()


@torch.no_grad()
def evaluate(net, loader):
    net.eval()
    return sum(F.cross_entropy(net(x), y) for x, y in loader) / len(loader)


def in_functions():
    for _ in range(2):
        train_one_epoch(model, train_loader, optimizer)
        evaluate(model, val_loader)


def in_a_lambda_of_two(f=lambda: usual(), g=lambda: in_functions()):  # noqa: PLW0108
    return f, g


class Trainer:
    def __init__(self):
        self.net, self.opt, self.loader = model, optimizer, train_loader
        self.parts = {"loss": criterion}

    def fit(self):
        for x, y in self.loader:
            self.update(self.parts["loss"](self.net(x), y))

    def __call__(self):
        self.fit()

    def update(self, loss):
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()


def with_arguments(net, optim, criterion, train_dl, n=1):
    for _ in range(n):
        for x, y in train_dl:
            optim.zero_grad()
            criterion(net(x), y).backward()
            optim.step()


def with_a_closure():
    for x, y in train_loader:

        def closure():
            optimizer.zero_grad()
            loss = criterion(model(x), y)  # noqa: B023
            loss.backward()
            return loss

        optimizer.step(closure)


def with_a_scaler():
    for x, y in train_loader:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = criterion(model(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()


def accumulating():
    for i, (x, y) in enumerate(train_loader):
        optimizer.zero_grad()
        (criterion(model(x), y) / k).backward()
        if (i + 1) % k == 0:
            optimizer.step()


def accumulating_by_continue():
    for i, (x, y) in enumerate(train_loader):
        (criterion(model(x), y) / k).backward()
        if (i + 1) % k:
            continue
        optimizer.step()
        optimizer.zero_grad()


def settled():
    for x, y in train_loader:
        if debug:
            optimizer.zero_grad()
        if not use_amp:
            model.eval()
        criterion(model(x), y).backward()
        if scheduler is not None:
            scheduler.step()


def by_hand():
    for x, y in train_loader:
        criterion(model(x), y).backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.1 * p.grad  # noqa: PLW2901
                p.grad.zero_()


def upwards():
    for x, y in train_loader:
        criterion(model(x), y).backward()
        for name, p in model.named_parameters():
            if name:
                p.data += 0.1 * p.grad
            p.grad = None


def by_next():
    it = iter(train_loader)
    while True:
        x, y = next(it)
        x -= x.mean()
        criterion(model(x), y).backward()
        optimizer.step()


STEP = ["zero_grad", "forward", "loss", "backward", "step"]


@pytest.mark.parametrize(
    ("loop", "expected"),
    [
        (in_functions, [*STEP, "eval", "forward", "loss"]),
        (in_a_lambda_of_two()[1], [*STEP, "eval", "forward", "loss"]),
        (Trainer().fit, ["forward", "loss", "zero_grad", "backward", "step"]),
        (Trainer(), ["forward", "loss", "zero_grad", "backward", "step"]),
        (with_arguments, STEP),
        (functools.partial(with_arguments, n=3), STEP),
        (functools.wraps(with_arguments)(lambda: None), STEP),
        ([train_one_epoch, evaluate], [*STEP, "eval", "forward", "loss"]),
        (with_a_closure, STEP),
        (with_a_scaler, ["zero_grad", "forward", "loss", "backward", "unscale", "clip", "step"]),
        (accumulating, STEP),
        (settled, ["forward", "loss", "backward", "scheduler"]),
        (by_hand, ["forward", "loss", "backward", "weights", "zero_grad"]),
        (upwards, ["forward", "loss", "backward", "weights", "zero_grad"]),
        (by_next, ["inplace", "forward", "loss", "backward", "step"]),
    ],
)
def test_what_a_loop_does(loop, expected):
    assert kinds(loop) == expected


def test_names_are_resolved_to_objects():
    for loop in (Trainer().fit, with_arguments, in_functions, with_a_scaler):
        reading = read(loop)
        assert reading.first("step").target is optimizer
        assert reading.first("forward").target is model


def test_conditions_within_the_loop_are_kept():
    assert read(accumulating).first("step").conditions == ("(i + 1) % k == 0",)
    assert read(accumulating).first("zero_grad").conditions == ()
    assert read(accumulating_by_continue).first("step").conditions == ("not ((i + 1) % k)",)
    assert read(with_a_closure).first("backward").conditions == ("closure",)


def test_updates_by_hand_have_a_direction():
    assert read(by_hand).first("weights").options["ascent"] is False
    assert read(upwards).first("weights").options["ascent"] is True


def test_a_place_in_another_file_names_it():
    def loop():
        case.run()

    case = classifier()
    reading = read(loop)
    assert reading.place("step").startswith("trainings.py line ")
    assert reading.first("backward").within == ("run",)


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head, self.blocks = nn.Linear(8, 8), nn.Linear(8, 4), nn.ModuleList([Block(), Block()])
        self.hidden = None

    def forward(self, x):
        x = x.div_(255)
        h = F.dropout(self.body(x), 0.5)
        with torch.no_grad():
            h = F.dropout(h, 0.5, self.training)
        for block in self.blocks:
            h = block(h)
        h = F.dropout(h, p=0.5, training=True)
        self.hidden = h
        return self.head(h.detach())


class Block(nn.Module):
    def forward(self, x):
        return F.relu(x)


def test_a_forward_pass_is_read():
    found = _read_forward(Training(Own())).events
    assert [event.kind for event in found if event.kind != "assign"] == [
        "inplace", "forward", "dropout", "dropout", "forward", "dropout", "cut", "forward"
    ]  # fmt: skip
    assert [event.options["how"] for event in found if event.kind == "dropout"] == ["default", "mode", "always"]
    assert [event.on for event in found if event.kind == "assign"][-1] == "self.hidden"


class Stored(Dataset):
    def __init__(self):
        self.data, self.mean = torch.rand(8, 3), 0.5

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        x = self.data[index]
        x -= self.mean
        return scaled(x), torch.zeros(())


class Copied(Stored):
    def __getitem__(self, index):
        x = self.data[index].clone()
        x -= self.mean
        y = self.data[index] - self.mean
        y += 1
        return x, y


def scaled(x):
    return x.div_(2)


@pytest.mark.parametrize(("data", "count"), [(Stored(), 2), (Copied(), 0), (blobs(8), 0)])
def test_an_item_that_changes_what_is_stored_is_seen(data, count):
    reading = _read_items(Training(model, train_loader=DataLoader(data)))
    assert len(reading.of("inplace")) == count
    assert all(event.target.known is data.data for event in reading.of("inplace"))
