import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from nn_inspector.checks.data.class_answers import ClassAnswers
from nn_inspector.experiments import isolated
from nn_inspector.experiments.entropy_calls import class_weights
from tests.trainings import Case, assert_equal, state_of


def rare_case(*, items=600, rare=0.08, weight=None, lr=0.02, apart=1.6, balanced=False, loss=None):
    """Two classes that overlap, one of them rare."""
    torch.manual_seed(0)
    y = (torch.rand(items) < rare).long()
    x = torch.randn(items, 8)
    x[:, 0] += apart * y
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    sampler = WeightedRandomSampler(1 / y.bincount()[y].double(), items) if balanced else None
    loader = DataLoader(TensorDataset(x, y), batch_size=20, sampler=sampler, shuffle=not balanced)
    loss = loss or nn.CrossEntropyLoss(weight=weight)
    return Case(model, torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9), loss, loader)


def checked(watched, case, epochs=3):
    inspector = watched(case, lambda c: c.run(epochs))
    before = state_of(case)
    finding = inspector.check("label_balance")
    assert_equal(before, state_of(case))
    return finding


def test_a_rare_class_that_is_never_found_is_an_error(watched):
    finding = checked(watched, rare_case())
    assert finding.severity == "error"
    assert finding.basis == "experiment"
    assert "No: the most frequent class has 9" in finding.message
    assert "finds 0% of class 1" in finding.message
    assert "with all classes alike found" in finding.message
    assert "WeightedRandomSampler" in finding.remedy.code or "weight=" in finding.remedy.code
    trial = finding.remedy.tried
    assert trial.helped
    assert trial.treated[-1] < trial.without[-1]
    assert finding.evidence["rare_found_if_balanced"] > 0.55
    assert finding.evidence["class"] == [1.0]


def test_where_the_frequent_classes_are_told_apart_it_is_a_warning(watched):
    torch.manual_seed(0)
    y = torch.randint(0, 4, (1600,))
    keep = (y < 3) | (torch.rand(1600) < 0.06)
    x = torch.randn(1600, 8)
    x[torch.arange(1600), y.clamp(max=2)] += 4.0
    x[:, 5] += 2.5 * (y == 3)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    loader = DataLoader(TensorDataset(x[keep], y[keep]), batch_size=20, shuffle=True)
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.02), nn.CrossEntropyLoss(), loader)
    finding = checked(watched, case, epochs=2)
    assert finding.severity == "warning"
    assert "class 3" in finding.message


def test_one_rare_class_of_many_cannot_gain_more_than_its_share(watched):
    torch.manual_seed(0)
    y = torch.randint(0, 9, (4800,))
    y[torch.rand(4800) < 0.016] = 9
    x = torch.randn(4800, 12)
    x[torch.arange(4800), y.clamp(max=8)] += 5.0 * (y < 9)
    x[:, 0] += 5.0 * (y == 9)
    x[:, 10] += 2.0 * (y == 9)
    model = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 10))
    loader = DataLoader(TensorDataset(x, y), batch_size=30, shuffle=True)
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9), nn.CrossEntropyLoss(), loader)
    finding = checked(watched, case, epochs=1)
    assert finding.severity == "warning", finding.message
    assert "class 9" in finding.message


@pytest.mark.parametrize(
    "case",
    [
        lambda: rare_case(weight=torch.tensor([1.0, 12.0])),
        lambda: rare_case(apart=6.0, lr=0.1),
        lambda: rare_case(apart=0.0),
    ],
    ids=["weighted", "found all the same", "nothing to find it by"],
)
def test_where_it_is_found_or_cannot_be_it_is_a_remark(watched, case):
    assert checked(watched, case(), epochs=6).severity == "info"


@pytest.mark.parametrize(
    "case", [lambda: rare_case(balanced=True), lambda: rare_case(rare=0.4)], ids=["sampler", "even"]
)
def test_where_no_class_is_rare_all_is_well(watched, case):
    finding = checked(watched, case())
    assert finding.severity == "ok"
    assert finding.message.startswith("No class is rare")


def test_one_answer_yes_or_no_counts_as_two_classes(watched):
    class Single(nn.BCEWithLogitsLoss):
        def forward(self, prediction, target):
            return super().forward(prediction.flatten(), target.float())

    case = rare_case(loss=Single())
    case.model[2] = nn.Linear(16, 1)
    case.optimizer = torch.optim.SGD(case.model.parameters(), lr=0.02, momentum=0.9)
    assert checked(watched, case).severity == "error"


def test_many_classes_are_rare_by_nature(watched):
    torch.manual_seed(0)
    y = torch.multinomial(1 / torch.arange(1, 201).float(), 4000, replacement=True)
    model = nn.Linear(4, 200)
    loader = DataLoader(TensorDataset(torch.randn(4000, 4), y), batch_size=40, shuffle=True)
    finding = checked(
        watched, Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), loader), 1
    )
    assert finding.severity == "info"
    assert "as it has to be" in finding.message


def test_numbers_are_no_classes(watched):
    model = nn.Linear(4, 1)
    loader = DataLoader(TensorDataset(torch.randn(200, 4), torch.randn(200, 1)), batch_size=20)
    finding = checked(watched, Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss(), loader), 1)
    assert finding.severity == "skipped"
    assert "about classes" in finding.message


def test_a_handful_of_items_says_nothing(watched):
    finding = checked(watched, rare_case(items=100, rare=0.04))
    assert finding.severity == "skipped"
    assert "Too few items of rare classes" in finding.message


def test_without_time_for_an_experiment_it_says_so(watched):
    case = rare_case()
    inspector = watched(case, lambda c: c.run(1))
    finding = inspector.check("label_balance", seconds=0)
    assert finding.severity == "skipped"
    assert "no time left" in finding.message


def test_it_draws_the_classes(watched):
    from nn_inspector.checks import find_check

    finding = checked(watched, rare_case())
    chart = find_check("label_balance").chart(finding)
    assert "share of the items" in (chart.x_label, chart.y_label)


def test_the_average_counts_classes_alike():
    answers = ClassAnswers(torch.tensor([0, 0, 0, 0, 1]), torch.tensor([0, 0, 0, 1, 1]))
    assert answers.average == pytest.approx(0.75)
    assert answers.classes == 2
    assert answers.count([1]) == 2
    assert answers.found([0]) == 1.0


class Words(nn.Module):
    """Scores [items, words, classes] for token numbers [items, words]."""

    def __init__(self, vocabulary=40, classes=3):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 8)
        self.out = nn.Linear(8, classes)

    def forward(self, words):
        return self.out(self.embedding(words))


class OfWords(nn.CrossEntropyLoss):
    def forward(self, scores, tags):
        return super().forward(scores.flatten(0, 1), tags.flatten())


def tagged(*, told=0.4, lr=0.3, rare=0.05, weight=None, padded=0, vocabulary=40):
    """Each word is tagged; class 1 stands at word 1, but in `told` of the cases only, and class 2 at word 2."""
    torch.manual_seed(0)
    words = torch.randint(3, vocabulary, (300, 12))
    chance = torch.rand(300, 12)
    words[chance < 2 * rare] = 1
    words[chance < rare] = 2
    tags = torch.where((words < 3) & (torch.rand(300, 12) < told), words, 0)
    if padded:
        tags[:, -padded:] = -100
    model = Words(vocabulary)
    loader = DataLoader(TensorDataset(words, tags), batch_size=20, shuffle=True)
    return Case(model, torch.optim.SGD(model.parameters(), lr=lr), OfWords(weight=weight), loader)


@pytest.mark.parametrize("padded", [0, 3], ids=["whole", "padded"])
def test_rare_tags_of_words_that_are_never_found_are_an_error(watched, padded):
    finding = checked(watched, tagged(padded=padded))
    assert finding.severity == "error", finding.message
    assert finding.basis == "experiment"
    assert finding.message.startswith("No: the most frequent class has 9")
    assert "of the positions" in finding.message
    assert "finds 0% of the 2 rare classes" in finding.message
    assert "its F1 score, mean over the classes" in finding.message
    assert "weight=" in finding.remedy.code
    assert finding.remedy.tried.helped
    assert finding.evidence["rare_found_if_weighed"] > 0.55


@pytest.mark.parametrize(
    "case",
    [lambda: tagged(told=1.0, lr=2.0), lambda: tagged(told=0.1, rare=0.2, lr=0.03)],
    ids=["found all the same", "hardly told apart"],
)
def test_rare_tags_that_are_found_or_cannot_be_are_a_remark(watched, case):
    finding = checked(watched, case(), epochs=5)
    assert finding.severity == "info", finding.message
    assert finding.message.startswith("The most frequent class has")


def test_tags_of_which_none_is_rare_are_well(watched):
    finding = checked(watched, tagged(rare=0.4, told=0.9))
    assert finding.severity == "ok"
    assert finding.message.startswith("No class is rare")


@pytest.mark.parametrize(
    "case",
    [lambda: tagged(weight=torch.tensor([1.0, 5.0, 5.0])), lambda: tagged(vocabulary=4)],
    ids=["weighed already", "the classes may be the tokens"],
)
def test_tags_that_are_weighed_or_may_be_tokens_are_left_alone(watched, case):
    finding = checked(watched, case())
    assert finding.severity == "skipped"
    assert "about classes" in finding.message


def test_pixels_have_classes_as_well(watched):
    torch.manual_seed(0)
    x = torch.randn(120, 1, 8, 8)
    y = ((x[:, 0] > 1.6) & (torch.rand(120, 8, 8) < 0.45)).long()
    model = nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    case = Case(
        model,
        torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
        nn.CrossEntropyLoss(),
        DataLoader(TensorDataset(x, y), batch_size=10, shuffle=True),
    )
    finding = checked(watched, case)
    assert finding.severity == "error", finding.message
    assert "finds 0% of class 1" in finding.message


@pytest.mark.parametrize("by_place", [False, True], ids=["by name", "by place"])
def test_a_copy_with_weights_has_the_loss_that_the_weights_give(watched, by_place):
    def loss(scores, labels):
        return F.cross_entropy(scores, labels, None) if by_place else F.cross_entropy(scores, labels)

    case = rare_case(loss=loss, rare=0.5)
    inspector = watched(case)
    batch, weights = next(iter(case.train_loader)), torch.tensor([1.0, 7.0])
    with isolated(inspector.training) as copied:
        plain = copied.loss(batch)
        with class_weights(copied, weights):
            weighed = copied.loss(batch)
        again = copied.loss(batch)
    expected = F.cross_entropy(case.model(batch[0]), batch[1], weights)
    assert float(weighed) == pytest.approx(float(expected))
    assert float(plain) == float(again) != float(weighed)


def test_the_f1_score_is_the_mean_over_the_classes():
    answers = ClassAnswers(torch.tensor([0, 0, 0, 0, 2]), torch.tensor([0, 0, 1, 1, 2]))
    assert answers.f1 == pytest.approx((2 / 3 + 0 + 1) / 3)
