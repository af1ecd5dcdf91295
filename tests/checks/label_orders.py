"""Items whose labels come in some order, and what is said of passes over them."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset, Subset

from nn_inspector.checks.data import shuffling
from tests.trainings import FEATURES, blobs, sorted_by_label

HARD = sorted_by_label(blobs(600, spread=2.5))


Y = torch.arange(400) // 100
X = torch.randn(400, FEATURES, generator=torch.Generator().manual_seed(0))
MIXED = torch.randperm(400, generator=torch.Generator().manual_seed(1))


class Items(Dataset):
    """Whatever a function makes of an index."""

    def __init__(self, make, count=400):
        self.make, self.count = make, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.make(index)


LABELS = {
    "class numbers": lambda i: (X[i], Y[i]),
    "float 0 and 1 of shape [N, 1]": lambda i: (X[i], (Y[i] > 1).float()[None]),
    "one-hot": lambda i: (X[i], F.one_hot(Y[i], 4).float()),
    "label smoothing by hand": lambda i: (X[i], 0.9 * F.one_hot(Y[i], 4).float() + 0.025),
    "continuous": lambda i: (X[i], torch.tensor(0.37 * float(i))),
    "continuous, two of them": lambda i: (X[i], torch.tensor([0.37 * float(i), 1.0])),
    "python numbers": lambda i: (X[i], int(Y[i])),
    "bool": lambda i: (X[i], Y[i] > 1),
    "half precision": lambda i: (X[i], Y[i].to(torch.bfloat16)),
    "dict with the key cls": lambda i: {"img": X[i], "cls": Y[i]},
    "dict with a telling key": lambda i: {"input_ids": X[i], "attention_mask": X[i] > 0, "class_id": Y[i]},
    "dict with an unknown key": lambda i: {"img": X[i], "what": Y[i]},
    "nested": lambda i: (X[i], {"label": Y[i], "boxes": X[i]}),
    "float weight last": lambda i: (X[i], Y[i], torch.rand((), generator=torch.Generator().manual_seed(int(i)))),
    "constant weight last": lambda i: (X[i], Y[i], 1.0),
}


def seen(make, order=range(400), size=16, passes=1, **trace):
    """The finding on passes over items in this order, without any trial."""
    loader = DataLoader(Subset(Items(make), list(order)), batch_size=size)
    epochs = []
    for number in range(passes):
        epoch = shuffling.Epoch("train", number, 0)
        for batch in loader:
            epoch.add(batch)
        epoch.complete = True
        epochs.append(epoch)
    return judged(epochs, loader, **trace)


def judged(epochs, loader, target=None):
    call = [SimpleNamespace(call=target[0], facts=target[1])] if target else []
    run = SimpleNamespace(epochs=lambda role: epochs, trace=call, steps=0)
    training = SimpleNamespace(train_loader=loader, optimizers=[])
    subject = SimpleNamespace(training=training, run=run, seconds=0, once=lambda _key, make: make())
    return shuffling.look(subject)


UNREADABLE = {
    "nothing but inputs": lambda i: X[i],
    "a dict without labels": lambda i: {"input": X[i]},
    "texts": lambda i: (X[i], "cat" if i < 200 else "dog"),
}
