"""The source of a loop tells what its loss is made of, and which network each summand reaches."""

import ast

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nn_inspector.checks.loop.reading import Code, Held, Reader
from nn_inspector.checks.loop.reading.events import Reading
from nn_inspector.training import Training
from tests.trainings import FEATURES, mlp

model, other = mlp(), nn.Linear(FEATURES, FEATURES)
criterion = nn.CrossEntropyLoss()
watched = Training(model, torch.optim.SGD(model.parameters(), lr=0.1), criterion)


def terms(code, **names):
    """The summands of what `backward()` is called on, and the networks by name that each reaches or is cut off from."""
    known = {
        "G": model,
        "D": other,
        "x": torch.zeros(4, FEATURES),
        "F": F,
        "torch": torch,
        "criterion": criterion,
        **names,
    }
    tree = ast.parse(code)
    reader = Reader(watched)
    reader.read(Code("loop", "loop", tree, code.splitlines(), known))
    found = Reading(tuple(reader.events)).first("backward").terms
    of = {Held(model): "G", Held(other): "D", "?": "?"}
    return [("".join(sorted(of[n] for n in t.live)), "".join(sorted(of[n] for n in t.cut)), t.sign) for t in found]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("criterion(G(x), 0).backward()", [("G", "", 1)]),
        ("(-criterion(G(x), 0)).backward()", [("G", "", -1)]),
        ("loss = -1 * criterion(G(x), 0)\nloss.backward()", [("G", "", -1)]),
        ("loss = 0\nloss += criterion(G(x), 0)\nloss.backward()", [("G", "", 1)]),
        ("a = G(x).mean()\nb = D(x).mean()\nloss = a - 0.1 * b\nloss.backward()", [("G", "", 1), ("D", "", -1)]),
        ("a, b = G(x), D(x)\n(a + b).sum().backward()", [("G", "", 1), ("D", "", 1)]),
        ("F.mse_loss(D(G(x)), x).backward()", [("DG", "", 1)]),
        ("F.mse_loss(D(G(x).detach()), x).backward()", [("D", "G", 1)]),
        ("f = G(x).detach()\nF.mse_loss(D(f), x).backward()", [("D", "G", 1)]),
        ("f = G(x)\nf = f.data\nF.mse_loss(D(f), x).backward()", [("D", "G", 1)]),
        ("with torch.no_grad():\n    f = G(x)\nF.mse_loss(D(f), x).backward()", [("D", "G", 1)]),
        ("a = criterion(G(x), 0)\nb = D(x).mean()\n(a + 0.1 * b.item()).backward()", [("G", "", 1), ("", "D", 1)]),
        ("a = criterion(G(x), 0)\nb = float(D(G(x)).mean())\n(a + b).backward()", [("G", "", 1), ("", "DG", 1)]),
        ("a = criterion(G(x), 0)\nb = torch.tensor(D(x).mean())\nloss = a + b\nloss.backward()", [("G", "", 1), ("", "D", 1)]),
        ("def f(z):\n    return criterion(G(z), 0), D(z).sum()\na, b = f(x)\n(a + b).backward()", [("G", "", 1), ("D", "", 1)]),
        ("p = G(x)\nF.mse_loss(p.argmax(1).float(), x).backward()", [("", "G", 1)]),
        ("p = G(x)\n(p.log() * (1 - p.detach())).mean().backward()", [("G", "G", 1)]),
        ("import unheard_of\nunheard_of.loss(G(x)).backward()", [("?G", "", 1)]),
    ],
)  # fmt: skip
def test_what_a_loss_is_made_of(code, expected):
    assert terms(code) == expected
