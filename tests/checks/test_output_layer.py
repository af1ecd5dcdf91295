import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from nn_inspector.checks.judging.path import by_hand, operations, unguarded
from nn_inspector.checks.judging.targets import of_facts, of_tensor
from tests.trainings import Case, assert_equal, blobs, classifier, state_of

G = torch.Generator().manual_seed(0)
X = torch.randn(96, 8, generator=G)
NUMBERS = X[:, :1] + 0.5 * X[:, 1:2]
KINDS = (X[:, 0] > 0).long() + (X[:, 1] > 0.5).long()
YES = (X[:, :1] > 0).float()
ROWS = F.one_hot(KINDS, 3).float()


def net(outputs, *last):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, outputs), *last)


def case(model, targets, loss_fn, *, lr=0.02, optimizer=torch.optim.Adam):
    loader = DataLoader(TensorDataset(X, targets), batch_size=16, shuffle=True)
    return Case(model, optimizer(model.parameters(), lr=lr), loss_fn, loader)


def by_own_loss(loss, epochs=2):
    """A loop that computes the loss itself, of the model's output and the targets."""

    def loop(case):
        for _ in range(epochs):
            for inputs, target in case.train_loader:
                case.optimizer.zero_grad()
                loss(case.model(inputs), target).backward()
                case.optimizer.step()

    return loop


def entropy(p, t):
    return -(t * torch.log(p + 1e-7) + (1 - t) * torch.log(1 - p + 1e-7)).mean()


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (case(net(1, nn.Softmax(dim=1)), NUMBERS, nn.MSELoss()), "in the module `3` (Softmax) works along axis 1"),
        (case(net(1, nn.Softmax(dim=-1)), YES, nn.BCELoss()), "always 1, whatever goes in"),
        (case(net(1, nn.LogSoftmax(dim=1)), YES, nn.MSELoss()), "always 0, whatever goes in"),
        (case(net(1), YES, nn.CrossEntropyLoss()), "its softmax over one class is always 1"),
        (case(net(1, nn.Sigmoid()), 30 + 5 * NUMBERS, nn.MSELoss()), "gives numbers from 0 to 1, but the targets lie"),
        (case(net(1, nn.Tanh()), 4 * NUMBERS, nn.SmoothL1Loss()), "gives numbers from -1 to 1"),
        (case(net(1, nn.ReLU()), NUMBERS, nn.L1Loss()), "gives numbers from 0 and more"),
        (case(net(3, nn.Softmax(dim=1)), (X[:, :3] > 0).float(), nn.MSELoss()), "always sum to 1, but"),
        (case(net(1), KINDS.float().unsqueeze(1), nn.BCEWithLogitsLoss()), "cannot tell 3 classes apart"),
    ],
)  # fmt: skip
def test_what_can_never_be_answered_is_an_error(watched, case, words):
    finding = watched(case, Case.run).check("output_layer")
    assert finding.severity == "error"
    assert words.lower() in finding.message.lower()
    assert finding.remedy.text
    assert finding.remedy.code


@pytest.mark.parametrize(
    ("model", "targets", "loss", "words"),
    [
        (net(1), YES, lambda out, t: entropy(out.softmax(1), t), "`softmax` in your loop"),
        (net(1), NUMBERS, lambda out, t: F.mse_loss(F.softmax(out, dim=1).squeeze(1), t[:, 0]), "in your loop"),
        (net(1), 9 * NUMBERS, lambda out, t: ((torch.sigmoid(out) - t) ** 2).mean(), "`sigmoid` in your loop gives"),
        (net(1, nn.Sigmoid()), KINDS, lambda out, t: entropy(out.squeeze(1), t), "cannot tell 3 classes apart"),
    ],
)
def test_it_is_read_from_loops_that_compute_their_loss_themselves(watched, model, targets, loss, words):
    finding = watched(case(model, targets, None), by_own_loss(loss)).check("output_layer")
    assert finding.severity == "error"
    assert words in finding.message


@pytest.mark.parametrize(
    "case",
    [
        case(net(1), NUMBERS, nn.MSELoss()),
        case(net(3), KINDS, nn.CrossEntropyLoss()),
        case(net(3, nn.LogSoftmax(dim=1)), KINDS, nn.NLLLoss()),
        case(net(1, nn.Sigmoid()), YES, nn.BCELoss()),
        case(net(1), YES, nn.BCEWithLogitsLoss()),
        case(net(3), (X[:, :3] > 0).float(), nn.BCEWithLogitsLoss()),
        case(net(1, nn.Sigmoid()), NUMBERS.sigmoid(), nn.MSELoss()),
        case(net(1, nn.Tanh()), NUMBERS.tanh(), nn.MSELoss()),
        case(net(1, nn.ReLU()), NUMBERS.abs(), nn.MSELoss()),
        case(net(3, nn.Softmax(dim=1)), (X[:, :3]).softmax(1), nn.MSELoss()),
    ],
)
def test_what_fits_is_left_alone(watched, case):
    finding = watched(case, Case.run).check("output_layer")
    assert finding.severity == "ok"
    assert finding.remedy is None


def test_a_softmax_over_independent_answers_is_an_error_although_their_order_may_be_right(watched):
    several = case(net(3, nn.Softmax(dim=1)), (X[:, :3] > 0).float(), nn.BCELoss())
    finding = watched(several, lambda c: c.run(20)).check("output_layer")
    assert finding.severity == "error"
    assert "No two of them can be above one half at once" in finding.message
    assert "learned well" not in finding.message
    assert "binary_cross_entropy_with_logits" in finding.remedy.code


def test_relu_on_scores_is_tried_without(watched):
    model = net(4, nn.ReLU())
    with torch.no_grad():
        model[2].bias.fill_(-3.0)
    data = DataLoader(blobs(), batch_size=16, shuffle=True)
    finding = watched(
        Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), data), Case.run
    ).check("output_layer")
    assert (finding.severity, finding.basis, finding.where) == ("error", "experiment", "3")
    assert "no gradient" in finding.message
    assert finding.remedy.tried.helped
    assert "Leave out the ReLU" in finding.remedy.text


def test_a_relu_where_much_is_left_to_learn_is_a_warning_without_proof(watched):
    made = case(net(3, nn.ReLU()), KINDS, nn.CrossEntropyLoss(), lr=1e-3)
    finding = watched(made, Case.run).check("output_layer", seconds=0.0)
    assert finding.severity == "info"
    finding = watched(made, Case.run).check("output_layer")
    assert finding.severity in ("warning", "error"), finding.message


def test_a_relu_that_does_no_harm_is_a_remark(watched):
    model = nn.Sequential(*classifier().model, nn.ReLU())
    data = DataLoader(blobs(spread=0.2), batch_size=16, shuffle=True)
    good = Case(model, torch.optim.Adam(model.parameters(), lr=0.02), nn.CrossEntropyLoss(), data)
    with torch.no_grad():
        model[2].bias.fill_(1.0)
    finding = watched(good, lambda case: case.run(20)).check("output_layer")
    assert finding.severity == "info"
    assert "learned well in spite of it" in finding.message


def test_sigmoids_for_one_of_many(watched):
    bad = case(net(3, nn.Sigmoid()), ROWS, nn.MSELoss(), lr=0.5, optimizer=torch.optim.SGD)
    finding = watched(bad, lambda case: case.run(10)).check("output_layer")
    assert finding.severity in ("warning", "error")
    assert "each through its own `sigmoid`" in finding.message
    assert "CrossEntropyLoss" in finding.remedy.text


def test_before_the_first_step_a_copy_tells(watched):
    finding = watched(case(net(1, nn.Softmax(dim=1)), NUMBERS, nn.MSELoss())).check("output_layer")
    assert finding.severity == "error"


def test_a_loss_that_was_never_seen_is_not_judged(watched):
    finding = watched(case(net(1), NUMBERS, None)).check("output_layer")
    assert finding.severity == "skipped"
    assert "how the loss is computed" in finding.message


def test_the_training_stays_as_it_is(watched):
    one = case(net(1, nn.Sigmoid()), 9 * NUMBERS, nn.MSELoss())
    inspector = watched(one, Case.run)
    before = state_of(one)
    inspector.check("output_layer")
    assert_equal(before, state_of(one))


@pytest.mark.parametrize(
    ("origin", "judge", "last"),
    [
        (["neg", "mean", "sum", "mul", "log", "clamp", "relu", "linear"], "logarithm", "relu"),
        (["mean", "neg", "sum", "mul", "log_softmax:1", "linear"], "log probabilities", "log_softmax"),
        (["mean", "pow", "sub", "sigmoid", "linear"], "numbers", "sigmoid"),
        (["mul", "mean", "abs", "div", "sub", "sigmoid"], "numbers", "sigmoid"),
        (["neg", "mean", "mul", "sub", "linear"], "other", "sub"),
        (["mean", "clamp", "rsub", "mul", "softmax:1"], "other", "clamp"),
        (["nll", "log_softmax:1", "linear"], "log probabilities", "log_softmax"),
    ],
)
def test_what_a_loss_by_hand_is_taken_for(origin, judge, last):
    found, path = by_hand(operations(origin))
    assert found == judge
    assert (unguarded(path) if judge == "logarithm" else path)[0].name == last


def test_targets_are_those_of_the_loader_only_where_they_fit():
    facts = {
        "target_shape": [16, 1],
        "target_low": -1.0,
        "target_high": 1.0,
        "target_whole": False,
        "target_distinct": 16,
    }
    assert of_facts([facts], 1000 * NUMBERS).values is None
    assert of_facts([facts], NUMBERS.clamp(-1, 1)).values is not None
    assert of_facts([facts], KINDS).values is None
    assert of_facts([{"target_shape": [3]}], None) is None
    assert of_tensor(ROWS, 16).one_hot
    assert of_tensor(KINDS, 16).class_numbers
    assert not of_tensor(NUMBERS, 16).class_numbers


def test_a_distance_of_two_embeddings_is_not_compared_with_the_labels(watched):
    def loss(out, t):
        gap = (out[::2] - out[1::2]).pow(2).sum(1)
        return (t[::2, 0] * gap + (1 - t[::2, 0]) * (1 - gap).clamp(min=0) ** 2).mean()

    pairs = case(net(4, nn.ReLU()), 2 * YES - 1, None)
    assert watched(pairs, by_own_loss(loss, epochs=1)).check("output_layer").severity == "ok"


@pytest.mark.parametrize(("log_input", "severity"), [(True, "ok"), (False, "error")])
def test_a_rate_is_compared_with_counts_and_its_logarithm_is_not(watched, log_input, severity):
    counts = (4 * NUMBERS.exp()).floor()
    one = case(net(1, nn.Sigmoid()), counts, nn.PoissonNLLLoss(log_input=log_input))
    assert watched(one, lambda case: case.run(1)).check("output_layer").severity == severity
