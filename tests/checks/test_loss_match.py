import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.checks.test_output_layer import KINDS, NUMBERS, ROWS, YES, X, by_own_loss, case, entropy, net
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, state_of


def nothing_learned(case):
    """A loop of a few steps."""
    by_own_loss(case.loss_fn, epochs=1)(case)


@pytest.mark.parametrize(
    ("case", "words", "advice"),
    [
        (case(net(3), KINDS, nn.NLLLoss()), "never above 0, but gets the plain scores", "CrossEntropyLoss"),
        (case(net(1), 50 * NUMBERS, nn.BCEWithLogitsLoss()), "are no probability", "MSELoss"),
        (case(net(1), 2 * YES - 1, nn.BCEWithLogitsLoss()), "falls without limit", "-1 and 1 to 0 and 1"),
        (case(net(1), NUMBERS, nn.PoissonNLLLoss()), "is for counts", "MSELoss"),
        (case(net(3, nn.Softmax(dim=0)), KINDS, lambda p, t: F.nll_loss(torch.log(p + 1e-7), t)), "the items of the batch", "dim=1"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_an_error(watched, case, words, advice):
    finding = watched(case, nothing_learned).check("loss_match")
    assert finding.severity == "error"
    assert words in finding.message
    assert advice in finding.remedy.text
    assert finding.remedy.code


def test_a_mask_of_two_numbers_has_the_right_loss_and_the_wrong_labels(watched):
    inspector = watched(case(net(1), 255 * YES, nn.BCEWithLogitsLoss()), nothing_learned)
    assert inspector.check("loss_match").severity not in ("warning", "error")
    assert inspector.check("label_range").severity == "error"


@pytest.mark.parametrize(
    ("model", "targets", "loss", "words"),
    [
        (net(3), ROWS, lambda out, t: -(t * F.log_softmax(out, dim=0)).sum(0).mean(), "over the items of the batch"),
        (net(3), KINDS, lambda out, t: -(t[:, None] * out.log_softmax(1)).sum(1).mean(), "no row with a 1"),
        (net(2), YES, lambda out, t: entropy(out.softmax(1), t), "they cannot obey"),
        (net(3), KINDS, lambda out, t: out.log_softmax(1)[torch.arange(len(t)), t].mean(), "without a minus"),
        (net(1), 3 * NUMBERS, lambda out, t: entropy(out.sigmoid(), t), "are no probability"),
        (net(3), ROWS, lambda out, t: -(t * torch.log(out)).sum(1).mean(), "the loss becomes NaN"),
    ],
)
def test_it_is_read_from_losses_that_are_written_by_hand(watched, model, targets, loss, words):
    finding = watched(case(model, targets, None), by_own_loss(loss, epochs=1)).check("loss_match")
    assert finding.severity == "error"
    assert words in finding.message


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (
            case(net(3, nn.Softmax(dim=1)), KINDS, nn.CrossEntropyLoss()),
            "in the module `3` (Softmax) presses the scores",
        ),
        (case(net(3, nn.Sigmoid()), ROWS, nn.CrossEntropyLoss()), "cannot fall below 0.551"),
        (case(net(1, nn.Sigmoid()), YES, nn.BCEWithLogitsLoss()), "makes its own sigmoid"),
        (case(net(3, nn.Softmax(dim=1)), KINDS, nn.NLLLoss()), "wants their logarithms"),
    ],
)
def test_what_makes_learning_slow_is_a_warning_at_least(watched, case, words):
    finding = watched(case, nothing_learned).check("loss_match")
    assert finding.severity in ("warning", "error")
    assert words in finding.message
    assert "plain scores" in finding.remedy.text


class AboveZero(nn.Module):
    def forward(self, x):
        return F.softplus(x) + 1e-4


@pytest.mark.parametrize("function", [nn.Softplus(), nn.ReLU(), AboveZero()])
def test_a_rate_that_is_taken_for_its_logarithm_is_a_warning(watched, function):
    finding = watched(case(net(1, function), NUMBERS.abs().round(), nn.PoissonNLLLoss()), nothing_learned).check(
        "loss_match"
    )
    assert finding.severity == "warning"
    assert "for the logarithm of the rate" in finding.message
    assert "log_input=False" in finding.remedy.code


def test_a_plain_score_that_is_taken_for_a_rate_is_an_error(watched):
    finding = watched(case(net(1), NUMBERS.abs().round(), nn.PoissonNLLLoss(log_input=False)), nothing_learned).check(
        "loss_match"
    )
    assert finding.severity == "error"
    assert "a rate below 0 has no logarithm" in finding.message
    assert "log_input" in finding.remedy.text


def test_a_softmax_in_the_loop_is_repeated_in_the_trial(watched):
    squashed = case(net(3), KINDS, nn.CrossEntropyLoss(), lr=0.5, optimizer=torch.optim.SGD)
    loop = by_own_loss(lambda out, t: F.cross_entropy(out.softmax(1), t), epochs=4)
    finding = watched(squashed, loop).check("loss_match")
    assert finding.raised
    assert "`softmax` in your loop" in finding.message
    assert finding.remedy.tried.helped
    assert finding.remedy.tried.treated[-1] < finding.remedy.tried.without[-1]


def test_a_squashed_training_that_learned_well_is_shown_its_lower_loss(watched):
    data = DataLoader(TensorDataset(3 * X, YES), batch_size=16, shuffle=True)
    model = net(1, nn.Sigmoid())
    good = Case(model, torch.optim.Adam(model.parameters(), lr=0.03), nn.BCEWithLogitsLoss(), data)
    finding = watched(good, lambda case: case.run(25)).check("loss_match")
    assert finding.severity == "warning"
    assert "learned well in spite of it" in finding.message
    assert finding.remedy.tried.measure == "loss"


def test_other_losses_are_tried_on_batches_that_are_dictionaries():
    torch.manual_seed(0)
    x, y = blobs(240).tensors
    items = [{"x": one, "label": kind} for one, kind in zip(x, y, strict=True)]
    loader = DataLoader(items, batch_size=16, shuffle=True)
    model = nn.Sequential(nn.Linear(FEATURES, 16), nn.Tanh(), nn.Linear(16, CLASSES), nn.Softmax(dim=1))
    optimizer, loss_fn = torch.optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss()

    def train():
        for _ in range(12):
            for batch in loader:
                optimizer.zero_grad()
                loss_fn(model(batch["x"]), batch["label"]).backward()
                optimizer.step()

    with nni.watch(model, optimizer, loss_fn, train_loader=loader, loop=train, show=False) as inspector:
        train()
        finding = inspector.check("loss_match", seconds=300)
    assert finding.severity == "warning", finding.message
    assert finding.remedy.tried.treated[-1] < 0.5 * finding.remedy.tried.without[-1]


def test_scores_that_are_cut_to_probabilities(watched):
    cut = case(net(1), YES, None, lr=0.01)
    finding = watched(cut, by_own_loss(lambda out, t: entropy(out.clamp(1e-6, 1 - 1e-6), t))).check("loss_match")
    assert finding.raised
    assert "cut with clamp()" in finding.message
    assert "BCEWithLogitsLoss" in finding.remedy.text


def test_a_loss_for_numbers_that_does_not_learn_classes(watched):
    slow = case(net(3, nn.Softmax(dim=1)), ROWS, nn.MSELoss(), lr=0.5, optimizer=torch.optim.SGD)
    finding = watched(slow, lambda case: case.run(10)).check("loss_match")
    assert finding.severity in ("warning", "error")
    assert finding.basis == "experiment"
    assert "does not compare them as such" in finding.message


@pytest.mark.parametrize(
    ("model", "targets", "loss"),
    [
        (net(3), KINDS, F.cross_entropy),
        (net(3, nn.LogSoftmax(dim=1)), KINDS, F.nll_loss),
        (net(3, nn.LogSoftmax(dim=1)), KINDS, F.cross_entropy),
        (net(3, nn.Softmax(dim=1)), KINDS, lambda p, t: F.nll_loss(torch.log(p), t)),
        (net(1, nn.Sigmoid()), YES, F.binary_cross_entropy),
        (net(1), YES, F.binary_cross_entropy_with_logits),
        (net(1), YES, lambda out, t: entropy(out.sigmoid(), t)),
        (net(3), ROWS, lambda out, t: -(t * out.log_softmax(1)).sum(1).mean()),
        (net(3), KINDS, lambda out, t: -out.log_softmax(1).gather(1, t[:, None]).mean()),
        (net(1), NUMBERS, F.mse_loss),
        (net(1), NUMBERS.abs(), F.poisson_nll_loss),
        (net(1, nn.Softplus()), NUMBERS.abs(), lambda out, t: F.poisson_nll_loss(out, t, log_input=False)),
        (net(16), NUMBERS, lambda out, t: (t * out.log_softmax(0)[:, :1]).mean()),
    ],
)
def test_what_fits_is_left_alone(watched, model, targets, loss):
    finding = watched(case(model, targets, None), by_own_loss(loss, epochs=1)).check("loss_match")
    assert finding.severity == "ok"
    assert finding.remedy is None


def test_several_losses_are_read_one_by_one(watched):
    torch.manual_seed(0)

    class TwoHeads(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.kind, self.real = nn.Linear(8, 8), nn.Linear(8, 3), nn.Linear(8, 1)

        def forward(self, x):
            h = self.body(x).tanh()
            return self.real(h).sigmoid(), self.kind(h).softmax(1)

    def loss(out, t):
        return F.binary_cross_entropy(out[0], torch.ones_like(out[0])) + F.nll_loss(out[1], t)

    finding = watched(case(TwoHeads(), KINDS, None), by_own_loss(loss, epochs=1)).check("loss_match")
    assert finding.severity == "warning"
    assert "F.nll_loss wants their logarithms" in finding.message


def test_the_training_stays_as_it_is(watched):
    one = case(net(3, nn.Softmax(dim=1)), KINDS, nn.CrossEntropyLoss(), lr=1e-3)
    inspector = watched(one, Case.run)
    before = state_of(one)
    assert inspector.check("loss_match").raised
    assert_equal(before, state_of(one))


def test_without_experiments_the_structure_is_still_read(watched):
    finding = watched(case(net(3), KINDS, nn.NLLLoss()), nothing_learned).check("loss_match", seconds=0.0)
    assert finding.severity == "error"


def validating(case, *, squash):
    """A loop with a validation; returned as a function whose source is read."""
    model, optimizer, loss_fn, train_loader, val_loader = (
        case.model, case.optimizer, case.loss_fn, case.train_loader, case.train_loader,
    )  # fmt: skip

    def train():
        total = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            for x, y in val_loader:
                scores = model(x)
                total += loss_fn(scores, y).item()
                total += float(scores.softmax(dim=1).max())

    def train_and_squash():
        total = 0.0
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            for x, y in val_loader:
                scores = model(x).softmax(dim=1)
                total += loss_fn(scores, y).item()

    return train_and_squash if squash else train


@pytest.mark.parametrize(("squash", "severity"), [(True, "warning"), (False, "ok")])
def test_a_softmax_before_the_loss_of_the_validation_alone(squash, severity):
    one = case(net(3), KINDS, nn.CrossEntropyLoss())
    loop = validating(one, squash=squash)
    with nni.watch(
        one.model, one.optimizer, one.loss_fn, train_loader=one.train_loader, loop=loop, show=False
    ) as inspector:
        loop()
        finding = inspector.check("loss_match")
    assert finding.severity == severity
    if squash:
        assert "In the validation `loss_fn` gets scores that went through `softmax`" in finding.message
        assert "scores = model(x)" not in finding.message
        assert "Leave out `softmax`" in finding.remedy.text


def test_two_classes_that_are_counted_from_one_are_left_to_label_range(watched):
    inspector = watched(case(net(1), YES + 1, nn.BCEWithLogitsLoss()), nothing_learned)
    assert not inspector.check("loss_match").raised
    found = inspector.check("label_range")
    assert found.severity == "error"
    assert "from 1 to 2" in found.message


def divergence(last):
    torch.manual_seed(0)
    x, y = blobs().tensors
    shares = (F.one_hot(y, CLASSES) * 0.7 + 0.3 / CLASSES).float()
    model = nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, CLASSES), *last)
    loader = DataLoader(TensorDataset(x, shares), batch_size=16, shuffle=True)
    return Case(model, torch.optim.Adam(model.parameters(), lr=0.01), nn.KLDivLoss(reduction="batchmean"), loader)


@pytest.mark.parametrize(
    ("last", "what"),
    [([nn.Softmax(dim=1)], "probabilities themselves"), ([], "plain scores")],
    ids=["softmax", "scores"],
)
def test_a_divergence_of_what_is_no_logarithm_is_an_error(watched, last, what):
    finding = watched(divergence(last), lambda c: c.run(2)).check("loss_match")
    assert finding.severity == "error", finding.message
    assert f"gets {what}, from" in finding.message
    assert "log_softmax" in finding.remedy.text


def test_a_divergence_of_logarithms_passes(watched):
    finding = watched(divergence([nn.LogSoftmax(dim=1)]), lambda c: c.run(2)).check("loss_match")
    assert finding.severity == "ok", finding.message


TAGS = (X[:, :4] > 0.5).float()


@pytest.mark.parametrize(
    ("tags", "words"),
    [(TAGS, "Of items without any"), (torch.cat([TAGS, 1 - TAGS], 1), "100% of the items have several right answers")],
)
def test_several_right_answers_are_not_one_of_several_classes(watched, tags, words):
    finding = watched(case(net(tags.shape[1]), tags, nn.CrossEntropyLoss()), nothing_learned).check("loss_match")
    assert finding.severity == "error", finding.message
    assert words in finding.message
    assert "BCEWithLogitsLoss" in finding.remedy.text
    names = {"torch": torch, "model": net(tags.shape[1]), "x": X, "y": tags}
    exec(finding.remedy.code, names)
    assert torch.isfinite(names["loss"])


@pytest.mark.parametrize(
    ("targets", "loss"),
    [
        (ROWS, nn.CrossEntropyLoss()),
        (ROWS * (X[:, :1] < 1.2), nn.CrossEntropyLoss()),
        (TAGS, nn.BCEWithLogitsLoss()),
        (TAGS / TAGS.sum(1, keepdim=True).clamp(min=1), nn.CrossEntropyLoss()),
        (X[:, :4].softmax(1), nn.CrossEntropyLoss()),
        ((torch.rand(len(X), 60, generator=torch.Generator().manual_seed(0)) < 0.1).float(), nn.CrossEntropyLoss()),
    ],
    ids=["one each", "some left out", "asked one by one", "shared out", "shares", "a ranking of many"],
)
def test_other_rows_pass(watched, targets, loss):
    assert not watched(case(net(targets.shape[1]), targets, loss), nothing_learned).check("loss_match").raised
