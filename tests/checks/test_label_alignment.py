import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks.data.pairing import Pairs, fit
from tests.checks.untouched import finding_of
from tests.trainings import CLASSES, FEATURES, Case, blobs, mlp

G = torch.Generator().manual_seed(0)


X = torch.randn(300, FEATURES, generator=G)


REAL = (X[:, :1] + (2 * X[:, 1:2]).sin()) / 1.2


def watched_case(data, *, val=None, real=False, wide=False, epochs=3, batch_size=16):
    torch.manual_seed(0)
    small = mlp() if not wide else nn.Sequential(nn.Linear(FEATURES, 256), nn.ReLU(), nn.Linear(256, CLASSES))
    model = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, 1)) if real else small
    loss_fn = nn.MSELoss() if real else nn.CrossEntropyLoss()
    loader = DataLoader(data, batch_size=batch_size, shuffle=True)
    val_loader = DataLoader(val, batch_size=16) if val is not None else None
    case = Case(model, torch.optim.Adam(model.parameters(), lr=0.01), loss_fn, loader)
    inspector = nni.watch(model, case.optimizer, loss_fn, train_loader=loader, val_loader=val_loader, show=False)
    case.run(epochs)
    return inspector, case


def apart(data):
    return TensorDataset(data.tensors[0], data.tensors[1][torch.randperm(len(data), generator=G)])


@pytest.mark.parametrize(
    ("by", "says", "code"),
    [
        (1, "1 row too late", "x[:-1], y[1:]"),
        (-1, "1 row too early", "x[1:], y[:-1]"),
        (2, "2 rows too late", "x[:-2], y[2:]"),
    ],
)
def test_labels_of_another_row_are_an_error(by, says, code):
    finding = finding_of("label_alignment", *watched_case(TensorDataset(X, REAL.roll(by, 0)), real=True))
    assert finding.severity == "error", finding.message
    assert finding.basis == "experiment"
    assert says in finding.message
    assert code in finding.remedy.code


def test_labels_shuffled_apart_are_an_error_where_validation_shows_it():
    finding = finding_of("label_alignment", *watched_case(apart(blobs(300)), val=blobs(150, seed=5)))
    assert finding.severity == "error", finding.message
    assert "do not belong to their inputs" in finding.message
    assert "one order for both" in finding.remedy.code


def partly_wrong(data, share):
    """With so many of the labels drawn anew."""
    labels = data.tensors[1].clone()
    wrong = torch.rand(len(labels), generator=torch.Generator().manual_seed(1)) < share
    labels[wrong] = labels[wrong][torch.randperm(int(wrong.sum()), generator=torch.Generator().manual_seed(2))]
    return TensorDataset(data.tensors[0], labels)


def test_labels_that_are_wrong_in_part_are_an_error_where_validation_shows_it():
    finding = finding_of(
        "label_alignment", *watched_case(partly_wrong(blobs(300), 0.75), val=blobs(200, seed=5), wide=True, epochs=70)
    )
    assert finding.severity == "error", finding.message
    assert "of the validation labels that it has not seen" in finding.message
    assert "one order for both" in finding.remedy.code


@pytest.mark.parametrize(
    ("share", "val", "epochs"),
    [(0.2, blobs(200, seed=5), 60), (0.5, blobs(200, seed=5), 2), (0.5, partly_wrong(blobs(200, seed=5), 0.5), 60)],
    ids=["a few", "learned all the same", "of the validation as well"],
)
def test_noise_in_labels_alone_is_no_alarm(share, val, epochs):
    assert not finding_of(
        "label_alignment", *watched_case(partly_wrong(blobs(400), share), val=val, epochs=epochs, batch_size=32)
    ).raised


class Moved(torch.utils.data.Dataset):
    """Items that are changed at random each time, far more than those of the validation data."""

    def __init__(self, data, spread):
        self.data, self.spread = data, spread

    def __len__(self):
        return len(self.data)

    def __getitem__(self, place):
        x, y = self.data[place]
        return x + self.spread * torch.randn(x.shape), y


@pytest.mark.parametrize("epochs", [2, 40])
def test_items_that_are_changed_at_random_have_no_wrong_labels(epochs):
    finding = finding_of(
        "label_alignment", *watched_case(Moved(blobs(400), 6.0), val=blobs(200, seed=5), epochs=epochs, batch_size=32)
    )
    assert finding.severity != "error", finding.message


@pytest.mark.parametrize("val", [None, apart(blobs(150, seed=5))])
def test_elsewhere_they_are_a_warning_if_the_network_learns_nothing_of_others(val):
    finding = finding_of("label_alignment", *watched_case(apart(blobs(300)), val=val, epochs=10))
    assert finding.severity == "warning", finding.message
    assert "do not belong together" in finding.message
    assert finding.basis == "statistics"


@pytest.mark.parametrize("related", [True, False])
def test_numbers_that_are_mostly_noise_belong_to_their_inputs(related):
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(15, generator=generator)

    def days(items):
        inputs = torch.randn(items, 15, generator=generator)
        signal = inputs @ weights / weights.norm() / 3 if related else 0.0
        return TensorDataset(inputs, (signal + torch.randn(items, generator=generator))[:, None])

    model = nn.Linear(15, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loader, val_loader = DataLoader(days(1500), 100, shuffle=True), DataLoader(days(1000), 500)
    case = Case(model, optimizer, nn.MSELoss(), loader)
    with nni.watch(model, optimizer, case.loss_fn, train_loader=loader, val_loader=val_loader, show=False) as inspector:
        case.run(5)
        finding = inspector.check("label_alignment")
    assert finding.raised is not related, finding.message


def test_a_training_that_was_lost_says_nothing_of_the_labels():
    torch.manual_seed(0)
    model = mlp()
    case = Case(
        model, torch.optim.SGD(model.parameters(), lr=1e8), nn.CrossEntropyLoss(), DataLoader(apart(blobs(300)), 16)
    )
    with nni.watch(model, case.optimizer, case.loss_fn, train_loader=case.train_loader, show=False) as inspector:
        case.run(3)
    finding = inspector.check("label_alignment")
    assert not finding.raised, finding.message


def rare(items, share, seed=0):
    """Two classes of items, one of which is rare; where both are likely, the frequent one is always likelier."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(items, generator=generator) < share).long()
    return TensorDataset(torch.randn(items, FEATURES, generator=generator) + 0.5 * labels[:, None], labels)


@pytest.mark.parametrize(
    ("share", "val"), [(0.04, None), (0.04, rare(1000, 0.04, seed=1)), (0.13, rare(600, 0.13, seed=1))]
)
def test_a_rare_class_that_is_never_the_likelier_one_says_nothing_of_the_labels(share, val):
    finding = finding_of("label_alignment", *watched_case(rare(1000, share), val=val, epochs=2))
    assert finding.severity in {"ok", "info"}, finding.message


def test_a_rare_class_of_other_items_is_still_a_warning():
    data = rare(1000, 0.15)
    finding = finding_of("label_alignment", *watched_case(apart(data), val=apart(rare(600, 0.15, seed=1)), epochs=2))
    assert finding.severity == "warning", finding.message


def test_of_few_items_it_is_a_remark():
    assert finding_of("label_alignment", *watched_case(apart(blobs(120)))).severity == "info"


class Parity(nn.Module):
    """Finds at once what no simple model finds."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(1, 1)

    def forward(self, x):
        return self.head(x[:, :6].sign().prod(1, keepdim=True))


def test_what_the_network_learns_is_no_alarm(watched):
    target = X[:, :6].sign().prod(1, keepdim=True)
    loader = DataLoader(TensorDataset(X, target), batch_size=16, shuffle=True)
    model = Parity()
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss(), loader)
    finding = finding_of("label_alignment", watched(case, lambda c: c.run(5)), case)
    assert finding.severity == "info"
    assert "not to be had so easily" in finding.message


@pytest.mark.parametrize(
    ("data", "real"),
    [
        (blobs(), False),
        (blobs(400, spread=2.0), False),
        (TensorDataset(X, REAL), True),
        (TensorDataset(X, X[:, :1]), True),
    ],
)
def test_labels_that_belong_to_their_inputs_pass(data, real):
    finding = finding_of("label_alignment", *watched_case(data, real=real))
    assert finding.severity == "ok"
    assert "a simple model explains" in finding.message


def autoencoder(data, val):
    torch.manual_seed(0)
    model = nn.Linear(FEATURES, FEATURES)
    loader = DataLoader(data, batch_size=16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    val_loader = DataLoader(val, batch_size=16)
    return nni.watch(model, optimizer, nn.MSELoss(), train_loader=loader, val_loader=val_loader, show=False)


def test_targets_instead_of_the_inputs():
    finding = autoencoder(TensorDataset(X, X), TensorDataset(X, X + 1)).check("label_alignment", seconds=100.0)
    assert finding.severity == "error"
    assert "given its own targets" in finding.message
    finding = autoencoder(TensorDataset(X, X), TensorDataset(X[:99], X[:99])).check("label_alignment", seconds=100.0)
    assert finding.severity == "ok"


def test_too_few_items_are_not_judged():
    finding = finding_of("label_alignment", *watched_case(blobs(40)))
    assert finding.severity == "skipped"
    assert "Only 32 items" in finding.message


@pytest.mark.parametrize("seed", range(5))
def test_permuted_labels_are_never_clear(seed):
    data = blobs(200, seed=seed)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(seed))
    rows = nn.functional.one_hot(data.tensors[1], CLASSES).float()
    assert fit(Pairs(data.tensors[0], rows)).clear
    assert not fit(Pairs(data.tensors[0], rows[order])).clear
    assert not fit(Pairs(data.tensors[0], torch.ones(200, 1))).clear


def test_missing_inputs_are_no_reason_to_doubt_the_labels():
    """Their items are left out; `missing_values` is about them."""
    data = blobs(400)
    data.tensors[0][range(0, 10 * FEATURES, 10), range(FEATURES)] = torch.nan  # one in each column
    assert finding_of("label_alignment", *watched_case(data, val=blobs(150, seed=5), epochs=0)).severity == "ok"


def test_batches_of_different_lengths_are_not_judged(watched):
    class OfMeans(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(2, 2)

        def forward(self, x):
            return self.last(torch.stack([x.mean(1), x.std(1)], 1))

    model = OfMeans()
    lengths = [5, 7] * 5
    batches = [(torch.randn(16, length), torch.randint(0, 2, (16,))) for length in lengths]
    made = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), batches)
    finding = watched(made, lambda c: c.run(2)).check("label_alignment")
    assert finding.severity == "skipped"
    assert "differ in the size" in finding.message
