import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, TensorDataset

from tests.checks.label_orders import HARD
from tests.trainings import FEATURES, Case, blobs, classifier, sorted_by_label


def test_shuffled_data_pass(watched):
    finding = watched(classifier(data=sorted_by_label(blobs(400))), lambda c: c.run(2)).check("shuffling")
    assert finding.severity == "ok"
    assert finding.evidence["same_order"] == 0


def test_sorted_data_are_an_error_when_shuffling_helps(watched):
    case = classifier(data=HARD, shuffle=False, lr=0.5)
    finding = watched(case, lambda c: c.run(2)).check("shuffling")
    assert finding.severity == "error"
    assert "sorted or grouped by label" in finding.message
    assert "same in every epoch" in finding.message
    assert "shuffle=True" in finding.remedy.code
    assert finding.remedy.tried.helped
    assert finding.where == "train_loader"


def test_sorted_data_are_a_warning_without_a_trial(watched):
    case = classifier(data=sorted_by_label(blobs(600)), shuffle=False)
    assert watched(case, lambda c: c.run(1)).check("shuffling", seconds=0).severity == "warning"


def test_a_trial_that_speaks_against_it_makes_it_a_remark(watched):
    """The labels tell nothing of the loss, so that their order costs nothing."""
    x = torch.randn(600, FEATURES, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(x, torch.arange(600) // 150)
    case = classifier(data=data, shuffle=False)
    case.model = nn.Linear(FEATURES, FEATURES)
    case.optimizer = torch.optim.SGD(case.model.parameters(), lr=0.5)

    def step(model, batch):
        return F.mse_loss(model(batch[0]), batch[0])

    def loop(c):
        for batch in c.train_loader:
            c.optimizer.zero_grad()
            step(c.model, batch).backward()
            c.optimizer.step()

    finding = watched(case, loop, step=step).check("shuffling")
    assert finding.severity == "info"
    assert "did no better, so this does little harm" in finding.message


def test_a_trial_in_which_nothing_learns_does_not_speak_against_it(watched):
    case = classifier(data=HARD, shuffle=False, lr=1e-9)
    finding = watched(case, lambda c: c.run(1)).check("shuffling")
    assert finding.severity == "warning"
    assert not finding.remedy.tried.helped


def test_mixed_data_in_the_same_order_are_a_remark(watched):
    finding = watched(classifier(data=blobs(400), shuffle=False), lambda c: c.run(2)).check("shuffling")
    assert finding.severity == "info"
    assert "Their labels are mixed" in finding.message
    assert finding.evidence["same_order"] == 1


def test_one_epoch_of_mixed_labels_is_enough_to_pass(watched):
    finding = watched(classifier(data=blobs(400)), lambda c: c.run(1)).check("shuffling")
    assert finding.severity == "ok"
    assert "one pass was seen" in finding.message


def test_one_batch_holds_everything(watched):
    case = classifier()
    case.train_loader = DataLoader(sorted_by_label(blobs(64)), batch_size=64)
    assert watched(case, lambda c: c.run(3)).check("shuffling").severity == "ok"


def test_items_with_one_item_a_batch_in_order_are_found(watched):
    case = classifier(data=HARD, shuffle=False, lr=0.1)
    case.train_loader = DataLoader(HARD, batch_size=1)
    finding = watched(case, lambda c: c.run(1)).check("shuffling")
    assert finding.severity == "error"


def test_a_list_of_batches_is_read_directly(watched):
    case = classifier(lr=0.5)
    case.train_loader = [HARD[start : start + 16] for start in range(0, 600, 16)]
    finding = watched(case, lambda c: c.run(1)).check("shuffling")
    assert finding.severity == "error"
    assert "random.shuffle(train_loader)" in finding.remedy.code


class SortedStream(IterableDataset):
    def __iter__(self):
        return iter([HARD[i] for i in range(600)])


@pytest.mark.parametrize("kind", ["batch sampler", "stream", "collate function"])
def test_the_code_of_the_remedy_runs_and_shuffles(watched, kind):
    case = classifier(lr=0.5)
    case.train_loader = {
        "batch sampler": lambda: DataLoader(HARD, batch_sampler=BatchSampler(range(600), 16, drop_last=False)),
        "stream": lambda: DataLoader(SortedStream(), batch_size=16),
        "collate function": lambda: DataLoader(
            HARD, batch_size=16, collate_fn=lambda items: [torch.stack(part) for part in zip(*items, strict=True)]
        ),
    }[kind]()
    finding = watched(case, lambda c: c.run(1)).check("shuffling")
    assert finding.severity == "error"
    namespace = {"torch": torch, "train_loader": case.train_loader}
    exec(finding.remedy.code, namespace)
    case.train_loader = namespace["train_loader"]
    assert case.train_loader.batch_size == 16
    assert watched(case, lambda c: c.run(2)).check("shuffling").severity == "ok"


@pytest.mark.parametrize(
    ("loader", "reason"),
    [
        (None, "no train_loader"),
        (DataLoader(blobs(), batch_size=16), "No pass over the train_loader was seen yet"),
        (iter([blobs()[:16]]), "without using it up"),
    ],
    ids=["none", "not read yet", "iterator"],
)
def test_where_it_cannot_look_it_says_why(watched, loader, reason):
    case = classifier()
    case.train_loader = loader
    finding = watched(case).check("shuffling")
    assert finding.severity == "skipped"
    assert reason in finding.message


def test_a_pass_that_was_broken_off_is_not_compared(watched):
    def loop(c):
        for _ in range(2):
            for index, (x, y) in enumerate(c.train_loader):
                c.loss_fn(c.model(x), y).backward()
                if index == 1:
                    break

    finding = watched(classifier(data=blobs(400), shuffle=False), loop).check("shuffling")
    assert finding.severity == "ok"
    assert "same_order" not in finding.evidence


def test_the_model_is_needed_only_for_the_trial(watched):
    case = classifier(data=sorted_by_label(blobs(600)), shuffle=False)
    case.loss_fn = None
    inspector = watched(case)
    list(case.train_loader)
    finding = inspector.check("shuffling")
    assert finding.severity == "warning"
    assert finding.remedy.tried is None


def test_sorted_targets_of_a_regression_are_an_error_when_shuffling_helps(watched):
    x = torch.linspace(-1, 1, 600)[:, None].repeat(1, FEATURES)
    data = TensorDataset(x, x[:, :1] ** 3)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 16), nn.Tanh(), nn.Linear(16, 1))
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.2), nn.MSELoss(), DataLoader(data, batch_size=16))
    finding = watched(case, lambda c: c.run(2)).check("shuffling")
    assert finding.severity in ("error", "warning")
    assert "labels' variation lies between" in finding.message
