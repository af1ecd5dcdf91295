"""The batch of a step whose loss stands out is looked at, also where the step is not measured."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import nn_inspector as nni
from nn_inspector.probes import ITEM_FIELDS, OUTLIER
from nn_inspector.probes.loss_level import REST, LossLevel
from nn_inspector.probes.recent_batches import MOST, MOST_BYTES, RecentBatches
from nn_inspector.probes.worst_items import WORST
from tests.trainings import assert_equal, classifier, mlp, state_of

LATER = 300
"""Far behind the steps that are all measured."""


def table(run):
    return run.last_vector("worst_items", OUTLIER).reshape(WORST, len(ITEM_FIELDS))


def batch(damaged=None):
    inputs, target = torch.randn(16, 8), torch.randint(0, 4, (16,))
    if damaged is not None:
        inputs[5] = damaged
    return inputs, target


def train(case, batches, *, loss_fn=None, forward=None, **options):
    """Steps on these batches; only the first is measured unless `every` says otherwise."""
    loader = case.train_loader if batches is case.train_loader else None
    given = {"train_loader": loader, "every": 10**6, "show": False, **options}
    with nni.watch(case.model, case.optimizer, case.loss_fn if loss_fn is None else None, **given) as inspector:
        for inputs, target in batches:
            case.optimizer.zero_grad()
            (loss_fn or case.loss_fn)((forward or case.model)(inputs), target).backward()
            case.optimizer.step()
    assert inspector.problems == []
    return inspector.run


def corrupted_loader(kind=TensorDataset, damage=float("nan"), **options):
    """Batches of 16 in order, 40 of them; item 21 * 16 + 5 is damaged, in the batch of step 21."""
    generator = torch.Generator().manual_seed(1)
    inputs, target = torch.randn(640, 8, generator=generator), torch.randint(0, 4, (640,), generator=generator)
    inputs[341] = damage
    return DataLoader(kind(inputs, target), batch_size=16, **options)


# which steps


def test_a_level_forgives_noise_and_sees_leaps_and_what_is_not_finite():
    level = LossLevel()
    noise = 1.0 + 0.1 * np.random.default_rng(0).standard_normal(1000)
    assert not any(level.stands_out(loss) for loss in noise)
    assert level.stands_out(3.0)
    assert not any(level.stands_out(loss) for loss in [5.0] * (REST - 1))
    level = LossLevel()
    assert [level.stands_out(loss) for loss in (float("nan"), 1.0, float("inf"), float("nan"))] == [
        True,
        False,
        False,
        False,
    ]


def test_what_falls_or_rises_slowly_does_not_stand_out_and_a_loss_is_lost_once():
    level = LossLevel()
    assert not any(level.stands_out(2.0 * 0.97**step) for step in range(300))
    assert not any(LossLevel().stands_out(0.0) for _ in range(50))
    level = LossLevel()
    losses = [2.0, 2.1] * 20 + [40.0, float("inf")] + [float("nan")] * 200
    assert [step for step, loss in enumerate(losses) if level.stands_out(loss)] == [40, 41]


def test_a_loss_that_leaps_all_the_time_is_looked_at_rarely():
    level = LossLevel()
    heavy = np.exp(3 * np.random.default_rng(0).standard_normal(20_000))
    assert sum(level.stands_out(loss) for loss in heavy) < 20_000 / 40
    assert not any(level.stands_out(1.0) for _ in range(REST))
    assert level.stands_out(100 * heavy.max())


@pytest.mark.parametrize(("damage", "expected"), [(float("nan"), np.inf), (400.0, None)])
def test_a_batch_in_the_middle_is_found_by_the_default_budget(damage, expected):
    case = classifier()
    batches = [batch() for _ in range(LATER)]
    batches[250] = batch(damage)
    batches[250][1][5] = case.model(batches[250][0][5:6]).argmin() if expected is None else 0
    run = train(case, batches, every="auto", keep_samples=True)
    series = run.series("worst_items", OUTLIER)
    assert series.steps.tolist()[0] == 250
    worst = series.values[0].reshape(WORST, len(ITEM_FIELDS))
    assert worst[0, 3] == 5
    assert worst[0, 0] == expected or worst[0, 0] > 20
    sample = run.series("sample", f"{OUTLIER} 0").values[0]
    assert sample[:3].tolist() == [8, 0, 0]
    assert np.array_equal(sample[3:11], np.full(8, damage), equal_nan=True)


def test_a_sound_training_has_none():
    case = classifier()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, show=False) as inspector:
        case.run(20)
    assert OUTLIER not in inspector.run.sources("worst_items")


# what is known of them


def test_without_keep_samples_indices_are_known_and_nothing_of_an_item():
    case = classifier()
    case.train_loader = corrupted_loader()
    run = train(case, case.train_loader)
    assert run.series("worst_items", OUTLIER).steps.tolist() == [21]
    assert table(run)[0, 4] == 341
    assert "sample" not in run.quantities()


class Stream(IterableDataset):
    def __init__(self, *tensors):
        self.tensors = tensors

    def __iter__(self):
        return iter(list(zip(*self.tensors, strict=True)))


@pytest.mark.parametrize(
    "options", [{"num_workers": 1, "in_order": False}, {"kind": Stream}], ids=["as they are ready", "iterable"]
)
def test_where_no_index_is_known_the_place_and_the_kept_item_are(options):
    case = classifier()
    case.train_loader = corrupted_loader(**options)
    run = train(case, case.train_loader, keep_samples=True)
    assert run.series("worst_items", OUTLIER).steps.tolist() == [21]
    assert table(run)[0, 3] == 5
    assert np.isnan(table(run)[:, 4]).all()
    assert np.isnan(run.last_vector("sample", f"{OUTLIER} 0")[3:11]).all()


def test_a_normalization_that_spreads_the_damage_does_not_hide_the_item():
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
    case = classifier()
    case.model, case.optimizer = model, torch.optim.SGD(model.parameters(), lr=0.1)
    case.train_loader = corrupted_loader()
    assert table(train(case, case.train_loader, keep_samples=True))[0, 3:].tolist() == [5, 341]


def test_of_a_loss_of_the_users_own_the_most_extreme_items_are_named():
    case = classifier()
    case.train_loader = corrupted_loader()

    def own(output, target):
        return ((output - nn.functional.one_hot(target, 4)) ** 2).mean()

    worst = table(train(case, case.train_loader, loss_fn=own, keep_samples=True))
    assert worst[0, 3:].tolist() == [5, 341]
    assert np.isnan(worst[:, :3]).all()
    case.model, case.train_loader = mlp(), corrupted_loader()
    case.optimizer = torch.optim.SGD(case.model.parameters(), lr=0.1)
    worst = table(train(case, case.train_loader, loss_fn=own))
    assert worst[:, 4].tolist() == [336, 337, 338, 339, 340, 341], "the first ones: nothing of an item was looked at"


def test_all_batches_of_an_accumulated_step_are_looked_at():
    case = classifier()
    case.train_loader = corrupted_loader()
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=10**6) as inspector:
        for number, (inputs, target) in enumerate(case.train_loader):
            case.loss_fn(case.model(inputs), target).backward()
            if number % 4 == 3:
                case.optimizer.step()
                case.optimizer.zero_grad()
    assert inspector.run.series("worst_items", OUTLIER).steps.tolist() == [5]
    assert table(inspector.run)[0, 3:].tolist() == [21, 341]


def test_places_of_words_are_not_taken_for_items():
    words = torch.randint(0, 20, (64, 12))
    model = nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 20))
    case = classifier()
    case.model, case.optimizer = model, torch.optim.SGD(model.parameters(), lr=0.1)
    case.train_loader = DataLoader(TensorDataset(words, words), batch_size=16)
    run = train(
        case,
        case.train_loader,
        forward=lambda inputs: model(inputs).reshape(-1, 20),
        loss_fn=lambda output, target: nn.functional.cross_entropy(output, target.reshape(-1)),
        every=1,
    )
    assert np.isnan(run.last_vector("worst_items", "train").reshape(WORST, -1)[:, 4]).all()


def test_texts_of_several_lengths_are_kept():
    words = [torch.randint(0, 20, (16, length)) for length in (5, 7, 300)]
    model = nn.Sequential(nn.Embedding(20, 8), nn.Flatten(1, -1), nn.AdaptiveAvgPool1d(8), nn.Linear(8, 4))
    case = classifier()
    case.model, case.optimizer = model, torch.optim.SGD(model.parameters(), lr=1e-4)
    case.train_loader = None
    batches = [(words[0], torch.zeros(16, dtype=torch.long))] * 60
    for step, length in ((1, 0), (30, 1), (58, 2)):
        batches[step] = (words[length], torch.zeros(16, dtype=torch.long))

    def spiked(output, target):
        loss = (output**2).mean()
        return loss * {30: 1e2, 58: 1e4}.get(inputs_seen[0], 1.0)

    inputs_seen = [-1]

    def forward(inputs):
        inputs_seen[0] += 1
        return model(inputs)

    run = train(case, batches, forward=forward, loss_fn=spiked, keep_samples=True)
    kept = run.series("sample", f"{OUTLIER} 0")
    assert kept.steps.tolist() == [30, 58]
    assert kept.values[:, 0].tolist() == [7, 150]


# the training is left alone


def test_losses_weights_and_random_state_are_the_same_with_and_without():
    def trained(watched):
        case = classifier()
        case.train_loader = corrupted_loader(damage=60.0)
        torch.manual_seed(3)
        if watched:
            with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, keep_samples=True):
                losses = case.run(1)
        else:
            losses = case.run(1)
        return losses, state_of(case)

    (seen, state), (plain, other) = trained(watched=True), trained(watched=False)
    assert seen == plain
    assert_equal(state, other)


def test_no_batch_is_held_longer_than_its_step():
    case = classifier()
    held = []
    with nni.watch(
        case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=10**6, keep_samples=True
    ):
        for _ in range(40):
            inputs, target = batch()
            held.append(weakref.ref(inputs))
            case.optimizer.zero_grad()
            case.loss_fn(case.model(inputs), target).backward()
            case.optimizer.step()
        del inputs
        gc.collect()
        assert [place for place, reference in enumerate(held) if reference() is not None] == []


def test_what_waits_for_its_loss_is_bounded():
    recent = RecentBatches()
    large = torch.empty(MOST_BYTES // 40)  # a tenth of what may be held
    for step in range(MOST + 50):
        recent.begin(step, [step], large.clone() if step < 30 else None)
        recent.pair(torch.zeros(2, 2), torch.zeros(2))
    assert len(recent._held) == MOST
    assert recent._bytes <= MOST_BYTES
    recent.clear()
    for step in range(30):
        recent.begin(step, [step], torch.empty_like(large))
    assert sum(batch.inputs is not None for batch in recent._held) == 10
    assert recent.of(3)[0].given == [3], "its indices are known still"
    assert recent.of(40) == []
    assert [batch.step for batch in recent.of(30)] == [29], "a loss that was told after the step"
    recent.forget(28)
    assert [batch.step for batch in recent._held] == [29]
    recent.pair(torch.empty(MOST_BYTES), torch.zeros(2))
    assert recent._held[0].prediction is None


def test_a_loss_that_the_loop_tells_leads_to_its_batch():
    case = classifier()
    case.train_loader = corrupted_loader()
    with nni.watch(
        case.model, case.optimizer, train_loader=case.train_loader, every=10**6, probes=["worst_items"]
    ) as inspector:
        for inputs, target in case.train_loader:
            loss = ((case.model(inputs) - nn.functional.one_hot(target, 4)) ** 2).mean()
            loss.backward()
            case.optimizer.step()
            case.optimizer.zero_grad()
            inspector.log(loss=loss)
    assert table(inspector.run)[:, 4].min() == 336


def test_an_error_of_ours_is_said_and_stops_nothing(monkeypatch):
    case = classifier()
    case.train_loader = corrupted_loader()
    monkeypatch.setattr("nn_inspector.probes.worst_items._with_losses", lambda batches: 1 / 0)
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, show=False) as inspector:
        case.run(1)
    assert "worst_items probe switched itself off" in inspector.problems[0]
    assert inspector.run.steps == 40


def test_nothing_is_left_when_it_is_detached():
    case = classifier()
    inspector = nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, show=False)
    case.run(1)
    inspector.detach()
    assert inspector._recorder.on_loss is None
    assert not inspector._attachment._worst._recent._held


# a device, whose loss arrives late


def test_a_loss_that_arrives_late_finds_its_batch(monkeypatch):
    monkeypatch.setattr("nn_inspector.probes.loss._scalar", lambda value: value.detach().clone())
    case = classifier()
    case.train_loader = corrupted_loader()
    run = train(case, case.train_loader, keep_samples=True)
    assert run.series("worst_items", OUTLIER).steps.tolist() == [21]
    assert table(run)[0, 3:].tolist() == [5, 341]
    assert np.isnan(run.last_vector("sample", f"{OUTLIER} 0")[3:11]).all()


def test_what_a_compiled_network_returns_is_held_on_the_host_only():
    case = classifier()
    case.train_loader = corrupted_loader()
    compiled = torch.compile(case.model, backend="eager")
    with nni.watch(case.model, case.optimizer, case.loss_fn, train_loader=case.train_loader, every=10**6) as inspector:
        for inputs, target in case.train_loader:
            case.optimizer.zero_grad()
            case.loss_fn(compiled(inputs), target).backward()
            case.optimizer.step()
        probe = inspector._attachment._worst
        probe.forget()
        probe.hold(torch.zeros(4, 2, device="meta"), torch.zeros(4))
        assert not probe._recent._held
    assert table(inspector.run)[0, 3:].tolist() == [5, 341]
