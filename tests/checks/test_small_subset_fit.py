import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks import find_check
from tests.checks.test_one_batch_fit import Detached
from tests.trainings import FEATURES, Case, assert_equal, blobs, classifier, mlp, state_of


def test_a_sound_network_learns_them(watched):
    case = classifier(momentum=0.9)
    inspector = watched(case, lambda c: c.run(20))
    before = state_of(case)
    assert "the training itself" in inspector.check("small_subset_fit").message
    finding = inspector.check("small_subset_fit", every=True)
    assert finding.severity == "ok", finding.message
    assert "48 items" in finding.message
    assert "your optimizer" in finding.message
    assert find_check("small_subset_fit").chart(finding).series.keys() == {"your optimizer"}
    assert_equal(before, state_of(case))


def test_a_network_that_cannot_is_warned_of(watched):
    model = Detached()
    model.body = nn.Linear(FEATURES, 128)
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), classifier().train_loader)
    finding = watched(case, lambda c: c.run(10)).check("small_subset_fit")
    assert finding.severity == "warning", finding.message
    assert finding.basis == "experiment"
    assert "batch_dependency" in finding.remedy.code


def test_one_that_learns_with_adam_alone_is_no_alarm(watched):
    finding = watched(classifier(lr=1e-6), lambda c: c.run(1)).check("small_subset_fit")
    assert finding.severity == "info", finding.message
    assert "Adam at 0.01" in finding.message


def test_few_items_and_no_optimizer(untrained):
    finding = untrained(mlp(), nn.CrossEntropyLoss(), TensorDataset(*blobs(33).tensors)).check("small_subset_fit")
    assert "33 items" in finding.message


def test_it_says_why_it_cannot_look(watched):
    case = classifier(lr=1e-9)
    assert "no time left" in watched(case).check("small_subset_fit", seconds=0).message
    finding = watched(case).check("small_subset_fit", seconds=0.01, epochs=5000)
    assert finding.severity == "skipped"
    assert "of 5000 epochs only" in finding.message
    case.train_loader = DataLoader(blobs(), batch_size=4)
    assert watched(case).check("small_subset_fit", items=20, epochs=2).severity != "error"


class WithSpread(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean, self.spread = nn.Linear(FEATURES, 1), nn.Linear(FEATURES, 1)

    def forward(self, x):
        return self.mean(x), nn.functional.softplus(self.spread(x)) + 1e-3


def test_a_loss_whose_spread_is_predicted_as_well_can_be_tried(watched):
    torch.manual_seed(0)
    x, y = blobs().tensors
    model = WithSpread()
    loader = DataLoader(TensorDataset(x, y.float().unsqueeze(1)), 16, shuffle=True)
    case = Case(model, torch.optim.Adam(model.parameters(), 1e-3), None, loader)

    def loop(c):
        for inputs, target in c.train_loader:
            c.optimizer.zero_grad()
            mean, spread = c.model(inputs)
            nn.functional.gaussian_nll_loss(mean, target, spread).backward()
            c.optimizer.step()

    for check in ("small_subset_fit", "one_batch_fit"):
        finding = watched(case, loop).check(check)
        assert "failed itself" not in finding.message
        assert not finding.raised, finding.message


def test_a_loss_that_is_as_low_as_it_can_be_from_the_start(watched):
    data = TensorDataset(blobs().tensors[0], (blobs().tensors[1] % 2)[:, None].float())
    model = nn.Linear(FEATURES, 1)
    loader = DataLoader(data, batch_size=16, shuffle=True)
    case = Case(model, torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss(), loader)  # of a single output
    finding = watched(case, lambda c: c.run(1)).check("small_subset_fit", every=True)
    assert finding.severity == "ok", finding.message
