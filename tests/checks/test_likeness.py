import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from nn_inspector.checks import find_check
from tests.trainings import Case, assert_equal, state_of

GROUPS, WIDTH, ITEMS = 6, 16, 1024


def things(items, seed):
    """Items of a few groups, which differ less between groups than for other reasons."""
    generator = torch.Generator().manual_seed(seed)
    groups = torch.randint(0, GROUPS, (items,), generator=generator)
    centres = 1.5 * torch.randn(GROUPS, 4, generator=torch.Generator().manual_seed(99))
    noise = 2 * torch.randn(items, WIDTH - 4, generator=generator)
    return torch.cat([centres[groups] + 0.3 * torch.randn(items, 4, generator=generator), noise], 1), groups


def partners(groups, *, alike, seed):
    """For each item another one of its group, or of another group."""
    chances = (groups[:, None] == groups[None]).float()
    chances = chances.fill_diagonal_(0) if alike else 1 - chances
    return torch.multinomial(chances, 1, generator=torch.Generator().manual_seed(seed)).flatten()


X, GROUP = things(ITEMS, 0)
ALIKE, DIFFERENT = (partners(GROUP, alike=alike, seed=1) for alike in (True, False))
SAME = torch.arange(ITEMS) % 2 == 0
OTHER = torch.where(SAME, ALIKE, DIFFERENT)
SAME_IS_1, SAME_IS_0 = SAME.float(), (~SAME).float()


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.tower = tower()

    def forward(self, a, b):
        return self.tower(a), self.tower(b)


class Distance(Pair):
    def forward(self, a, b):
        return F.pairwise_distance(*super().forward(a, b))


class Head(Pair):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 1)

    def forward(self, a, b):
        a, b = super().forward(a, b)
        return self.head((a - b).abs()).squeeze(1)


TRAINED = 768


def tower(hidden=32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(WIDTH, hidden), nn.ReLU(), nn.Linear(hidden, 8))


def trained(model, loss, *parts, epochs=6):
    """A case whose loss takes the model and a batch, and the loop that trains it."""
    loader = DataLoader(TensorDataset(*(part[:TRAINED] for part in parts)), batch_size=32, shuffle=True)
    later = DataLoader(TensorDataset(*(part[TRAINED:] for part in parts)), batch_size=256)
    made = Case(model, torch.optim.Adam(model.parameters(), lr=3e-3), None, loader)

    def loop():
        for _ in range(epochs):
            for batch in loader:
                made.optimizer.zero_grad()
                loss(model, batch).backward()
                made.optimizer.step()

    return made, loop, later


def checked(made, loop, later, seconds=300.0, *, bare=False):
    loaders = {} if bare else {"train_loader": made.train_loader, "val_loader": later}
    with nni.watch(made.model, made.optimizer, None, show=False, **loaders) as inspector:
        loop()
        before = state_of(made)
        finding = inspector.check("loss_learnable", seconds=seconds)
        assert_equal(before, state_of(made))
    return finding


def contrastive(distance, same, margin=1.0):
    return (same * distance.square() + (1 - same) * (margin - distance).relu().square()).mean()


def of_pairs(model, batch):
    a, b, same = batch
    return contrastive(F.pairwise_distance(*model(a, b)), same)


def of_distance(model, batch):
    a, b, same = batch
    return contrastive(model(a, b), same)


def of_distance_turned(model, batch):
    a, b, same = batch
    return contrastive(model(a, b), 1 - same)


def of_two_calls(model, batch):
    a, b, same = batch
    return contrastive(F.pairwise_distance(model(a), model(b)), same)


def of_one_call(model, batch):
    a, b, same = batch
    first, second = model(torch.cat([a, b])).chunk(2)
    return contrastive(F.pairwise_distance(first, second), same)


def of_cosine(model, batch):
    a, b, sign = batch
    return F.cosine_embedding_loss(model(a), model(b), sign, margin=0.2)


def without_margin(model, batch):
    a, b, sign = batch
    return F.cosine_embedding_loss(model(a), model(b), sign, margin=1.0)


def by_a_head(model, batch):
    a, b, same = batch
    return F.binary_cross_entropy_with_logits(model(a, b), same)


def pulls_only(model, batch):
    a, b, same = batch
    distance = F.pairwise_distance(*model(a, b))
    return (same * distance.square() + (1 - same) * (distance - 1).relu().square()).mean()


def triplets(model, batch):
    a, p, n = batch
    return F.triplet_margin_loss(model(a), model(p), model(n))


def swapped_triplets(model, batch):
    a, p, n = batch
    return F.triplet_margin_loss(model(a), model(n), model(p))


def slack_triplets(model, batch):
    a, p, n = (model(part) for part in batch)
    return (F.pairwise_distance(a, p) - F.pairwise_distance(a, n) - 1).relu().mean()


def by_classes(model, batch):
    x, y = batch
    z = model(x)
    same = (y[:, None] == y[None]).float()
    return contrastive(torch.cdist(z, z).add(1e-6), same)


def by_other_classes(model, batch):
    x, y = batch
    z = model(x)
    same = (y[:, None] != y[None]).float()
    return contrastive(torch.cdist(z, z).add(1e-6), same)


def by_classes_of_both(model, batch):
    a, b, ya, yb = batch
    return contrastive(F.pairwise_distance(*model(a, b)), (ya != yb).float())


def views(model, batch):
    (x,) = batch
    first, second = (model(x + 0.1 * torch.randn_like(x)) for _ in range(2))
    return F.cross_entropy(-torch.cdist(first, second), torch.arange(len(x)))


def near(model, batch):
    a, b = batch
    return F.mse_loss(model(a), model(b))


def same_direction(model, batch):
    first, second = model(torch.cat(batch)).chunk(2)
    return -(F.normalize(first, dim=1) * F.normalize(second, dim=1)).sum(1).mean()


def spread_out(model, batch):
    """As VICReg: near, but each column is to differ from item to item."""
    first, second = (model(part) for part in batch)
    narrow = sum((1 - table.std(0)).relu().mean() for table in (first, second))
    return F.mse_loss(first, second) + 5 * narrow


def predicted(model, batch):
    """As SimSiam: one of both is predicted, and the other held fast."""
    first, second = (model.tower(part) for part in batch)
    guesses = model.head(first), model.head(second)
    likeness = F.cosine_similarity(guesses[0], second.detach()) + F.cosine_similarity(guesses[1], first.detach())
    return -likeness.mean() / 2


def in_the_batch(model, batch):
    first, second = (F.normalize(model(part), dim=1) for part in batch)
    return F.cross_entropy(first @ second.T / 0.1, torch.arange(len(first)))


def with_a_task(model, batch):
    """Views are to be alike beside a task that has labels."""
    x, other, group = batch
    first, second = model(x), model(other)
    return F.cross_entropy(first, group) + F.mse_loss(first, second)


class Predictor(Pair):
    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))


PAIRS = (X, X[OTHER])
VIEWS = (X, X[ALIKE])
SIGN = 2 * SAME_IS_1 - 1

TURNED = {
    "1 is alike, 0 is pulled": (
        lambda: trained(Pair(), of_pairs, *PAIRS, SAME_IS_0), "whose label is 1", "label = 1 - label",
    ),
    "0 is alike, 1 is pulled": (
        lambda: trained(Distance(), of_distance_turned, *PAIRS, SAME_IS_1), "whose label is 0", "label = 1 - label",
    ),
    "two calls": (lambda: trained(tower(), of_two_calls, *PAIRS, SAME_IS_0), "whose label is 1", "label = 1 - label"),
    "one call": (lambda: trained(tower(), of_one_call, *PAIRS, SAME_IS_0), "whose label is 1", "label = 1 - label"),
    "cosines, -1 is alike": (lambda: trained(tower(), of_cosine, *PAIRS, -SIGN), "whose label is 1", "label = -label"),
    "triplets": (lambda: trained(tower(), swapped_triplets, X, X[ALIKE], X[DIFFERENT]), "two of each triplet", ""),
    "classes": (lambda: trained(tower(), by_other_classes, X, GROUP), "items of different classes", ""),
    "classes of both": (
        lambda: trained(Pair(), by_classes_of_both, *PAIRS, GROUP, GROUP[OTHER]), "items of different classes", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TURNED)
def test_a_loss_that_pulls_together_what_differs_is_an_error(name):
    make, says, code = TURNED[name]
    finding = checked(*make())
    assert finding.severity == "error", finding.message
    assert says in finding.message
    assert code in finding.remedy.code
    assert finding.basis == "experiment"
    assert finding.remedy.tried.helped


COLLAPSE = {
    "margin turned": lambda: trained(Pair(), pulls_only, *PAIRS, SAME_IS_1),
    "margin of 1 for cosines": lambda: trained(tower(), without_margin, *PAIRS, SIGN),
    "margin taken off": lambda: trained(tower(), slack_triplets, X, X[ALIKE], X[DIFFERENT]),
    "views, by distance": lambda: trained(tower(), near, *VIEWS),
    "views, by direction": lambda: trained(tower(), same_direction, *VIEWS, epochs=12),
}


@pytest.mark.parametrize("name", COLLAPSE)
def test_a_loss_that_pushes_nothing_apart_is_an_error(name):
    finding = checked(*COLLAPSE[name]())
    assert finding.severity == "error", finding.message
    assert "nothing pushes apart" in finding.message
    assert ("torch.arange(len(alike))" if "views" in name else "relu(margin - distance)") in finding.remedy.code
    assert set(find_check("loss_learnable").chart(finding).series) == {"without the remedy", "with the remedy"}


SOUND = {
    "1 is alike": lambda: trained(Pair(), of_pairs, *PAIRS, SAME_IS_1),
    "0 is alike": lambda: trained(Distance(), of_distance_turned, *PAIRS, SAME_IS_0),
    "two calls": lambda: trained(tower(), of_two_calls, *PAIRS, SAME_IS_1),
    "one call": lambda: trained(tower(), of_one_call, *PAIRS, SAME_IS_1),
    "cosines": lambda: trained(tower(), of_cosine, *PAIRS, SIGN),
    "a head that judges": lambda: trained(Head(), by_a_head, *PAIRS, SAME_IS_0),
    "triplets": lambda: trained(tower(), triplets, X, X[ALIKE], X[DIFFERENT]),
    "classes": lambda: trained(tower(), by_classes, X, GROUP),
    "views": lambda: trained(tower(), views, X, epochs=12),
    "views that are told from others": lambda: trained(tower(), in_the_batch, *VIEWS),
    "views that are spread out": lambda: trained(tower(), spread_out, *VIEWS),
    "views that are predicted": lambda: trained(Predictor(), predicted, *VIEWS),
    "views beside a task": lambda: trained(tower(), with_a_task, *VIEWS, GROUP),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_losses_pass(name):
    made, loop, later = SOUND[name]()
    finding = checked(made, loop, later)
    assert finding.severity in ("ok", "skipped", "info"), finding.message


@pytest.mark.parametrize("name", ["1 is alike", "triplets"])
def test_pairs_that_cannot_be_learned_are_no_fault_of_the_loss(name):
    mixed = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(5))
    made, loop, later = (
        trained(Pair(), of_pairs, X, X[mixed], SAME_IS_1)
        if name == "1 is alike"
        else trained(tower(), triplets, X, X[mixed], X[mixed.flip(0)])
    )
    finding = checked(made, loop, later)
    assert finding.severity in ("ok", "skipped", "info"), finding.message


@pytest.mark.parametrize(
    ("make", "says"),
    [(TURNED["triplets"][0], "two of each triplet"), (COLLAPSE["margin taken off"], "nothing pushes apart")],
    ids=["triplets", "margin taken off"],
)
def test_a_loop_without_a_loader_is_judged_by_its_own_steps(make, says):
    finding = checked(*make(), bare=True)
    assert finding.severity == "error", finding.message
    assert says in finding.message


@pytest.mark.parametrize("name", ["1 is alike", "two calls", "triplets", "views that are spread out", "mixed"])
def test_sound_losses_pass_without_a_loader(name):
    mixed = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(5))
    make = SOUND.get(name) or (lambda: trained(tower(), triplets, X, X[mixed], X[mixed.flip(0)]))
    finding = checked(*make(), bare=True)
    assert finding.severity in ("ok", "skipped", "info"), finding.message


def test_steps_that_are_known_by_heart_are_not_judged_by():
    made, loop, later = trained(tower(hidden=512), triplets, X, X[DIFFERENT], X[ALIKE])
    finding = checked(made, loop, later, bare=True)
    assert finding.severity == "error", finding.message
    assert "two of each triplet" in finding.message


def test_without_time_or_steps_nothing_is_said():
    made, loop, later = TURNED["1 is alike, 0 is pulled"][0]()
    assert checked(made, loop, later, seconds=0).severity == "skipped"
    made, _, later = TURNED["1 is alike, 0 is pulled"][0]()
    assert checked(made, lambda: None, later).severity != "error"
