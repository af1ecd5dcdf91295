"""The worst items of a batch, against the same numbers computed directly."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.probes.worst_items import ITEM_FIELDS, SAMPLE_NUMBERS, WORST, item_losses
from tests.trainings import Case, blobs, classifier


def one_step(case, **options):
    """One step with what was recorded, and the batch that it was made with."""
    given = {"train_loader": case.train_loader, "every": 1, **options}
    with nni.watch(case.model, case.optimizer, case.loss_fn, **given) as inspector:
        inputs, target = next(iter(case.train_loader))
        output = case.model(inputs)
        case.loss_fn(output, target).backward()
        case.optimizer.step()
    assert inspector.problems == []
    return inspector.run, inputs, target, output.detach()


def table(run):
    return run.last_vector("worst_items", "train").reshape(WORST, len(ITEM_FIELDS))


def test_class_scores():
    case = classifier()
    run, inputs, target, output = one_step(case)
    losses = F.cross_entropy(output, target, reduction="none")
    order = losses.argsort(descending=True)[:WORST]
    worst = table(run)
    assert worst[:, 0] == pytest.approx(losses[order].numpy(), rel=1e-5)
    assert worst[:, 1].tolist() == output.argmax(1)[order].tolist()
    assert worst[:, 2].tolist() == target[order].tolist()
    assert worst[:, 3].tolist() == order.tolist()
    data = case.train_loader.dataset.tensors[0]
    assert torch.equal(data[worst[:, 4].astype(int)], inputs[order]), "the indices lead to the items"


def test_numbers_and_small_batches():
    inputs, target = torch.randn(4, 8), torch.tensor([[0.0], [100.0], [0.0], [0.0]])
    model = nn.Linear(8, 1)
    loader = DataLoader(TensorDataset(inputs, target), batch_size=4)
    run, _, _, output = one_step(Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss(), loader))
    worst = table(run)
    assert worst[0, 3:].tolist() == [1, 1]
    assert worst[0, 1] == pytest.approx(output[1].item(), rel=1e-5)
    assert worst[0, 2] == 100
    assert np.isnan(worst[4:]).all()


@pytest.mark.parametrize(
    "loader",
    [
        [tuple(part[:16] for part in blobs().tensors)],
        DataLoader(blobs(), batch_size=16, num_workers=1, in_order=False),
        DataLoader(blobs(), batch_size=None, sampler=[slice(0, 16)]),
    ],
    ids=["list", "as they are ready", "slices"],
)
def test_where_indices_are_not_known_places_are(loader):
    case = classifier()
    case.train_loader = loader
    worst = table(one_step(case)[0])
    assert np.isnan(worst[:, 4]).all()
    assert not np.isnan(worst[:, :4]).any()


def test_a_loss_that_is_nan_is_the_worst():
    assert item_losses(torch.tensor([[1.0], [float("nan")]]), torch.zeros(2, 1))[1].isnan()
    case = classifier()
    with torch.no_grad():
        case.train_loader.dataset.tensors[0][3] = float("nan")
    case.train_loader = DataLoader(case.train_loader.dataset, batch_size=16)
    assert table(one_step(case)[0])[0, 3:].tolist() == [3, 3]


def test_no_item_is_kept_unless_that_is_allowed():
    assert "sample" not in one_step(classifier())[0].quantities()


def test_items_that_are_kept_are_the_worst_as_they_were_given(tmp_path):
    case = classifier()
    run, inputs, *_ = one_step(case, keep_samples=True, run=tmp_path / "run.sqlite")
    places = table(run)[:, 3].astype(int)
    for rank, place in enumerate(places):
        sample = run.last_vector("sample", str(rank))
        assert sample[:3].tolist() == [8, 0, 0]
        assert np.array_equal(sample[3:], inputs[place].numpy().astype(np.float64))
    assert np.array_equal(nni.open_run(run.path).last_vector("sample", "0"), run.last_vector("sample", "0"))


def test_great_items_are_kept_small():
    images = torch.rand(8, 3, 128, 200)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    loader = DataLoader(TensorDataset(images, torch.zeros(8, dtype=torch.long)), batch_size=8)
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), loader)
    run = one_step(case, keep_samples=True)[0]
    place, sample = int(table(run)[0, 3]), run.last_vector("sample", "0")
    assert sample[:3].tolist() == [3, 32, 25]
    assert len(sample) <= SAMPLE_NUMBERS + 3
    assert np.array_equal(sample[3:], images[place, :, ::4, ::8].numpy().astype(np.float64).reshape(-1))


def test_keep_samples_is_true_or_false():
    case = classifier()
    with pytest.raises(nni.ArgumentError, match="keep_samples: expected True or False"):
        nni.watch(case.model, case.optimizer, case.loss_fn, keep_samples="yes")


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_targets_that_are_no_class_have_no_loss(dtype):
    scores = torch.tensor([[0.0, 2.0], [1.0, 0.0], [0.0, 0.0]])
    target = torch.tensor([1, 2, 255], dtype=dtype)
    expected = F.cross_entropy(scores[:1], torch.tensor([1])).item()
    assert item_losses(scores, target).tolist() == [pytest.approx(expected), 0.0, 0.0]
