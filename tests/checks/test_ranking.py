import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.trainings import Case, assert_equal, state_of

WIDTH = 6


def checked(made, loop, *, read=True, seconds=300.0):
    """What the check says of a loop that has run."""
    source = loop if read else None
    options = {"train_loader": made.train_loader, "loop": source, "show": False}
    with nni.watch(made.model, made.optimizer, made.loss_fn, **options) as inspector:
        loop(made)
        before = state_of(made)
        finding = inspector.check("loss_learnable", seconds=seconds)
        assert_equal(before, state_of(made))
    return finding


def pairs(items=256, *, loss=None):
    """A scorer of things, and pairs of a liked one and another one."""
    generator = torch.Generator().manual_seed(0)
    things, taste = torch.randn(items, 2, WIDTH, generator=generator), torch.arange(WIDTH) - 2.0
    order = (things @ taste).argsort(dim=1, descending=True)
    liked, other = (things[torch.arange(items), order[:, place]] for place in (0, 1))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(WIDTH, 8), nn.ReLU(), nn.Linear(8, 1))
    loader = DataLoader(TensorDataset(liked, other), batch_size=32, shuffle=True)
    loss = loss or nn.MarginRankingLoss(margin=1.0)
    return Case(model, torch.optim.Adam(model.parameters(), lr=0.02), loss, loader)


def swapped(made):
    for _ in range(6):
        for liked, other in made.train_loader:
            made.optimizer.zero_grad()
            up, down = made.model(liked).squeeze(1), made.model(other).squeeze(1)
            loss = made.loss_fn(down, up, torch.ones(len(up)))
            loss.backward()
            made.optimizer.step()
        right = 0
        for liked, other in made.train_loader:
            right += (made.model(liked) > made.model(other)).sum().item()


def with_a_turned_target(made):
    for _ in range(6):
        for _step, batch in enumerate(made.train_loader):
            liked, other = [part.float() for part in batch]
            y = -torch.ones(len(liked))
            made.optimizer.zero_grad()
            F.margin_ranking_loss(made.model(liked).squeeze(1), made.model(other).squeeze(1), y, margin=1.0).backward()
            made.optimizer.step()
        share_right(made)


def share_right(made):
    hits = []
    for batch in made.train_loader:
        liked, other = batch
        hits.append((made.model(other) < made.model(liked)).float().mean())
    return torch.stack(hits).mean()


def by_keys(made):
    for _ in range(6):
        for batch in made.train_loader:
            made.optimizer.zero_grad()
            a, b = made.model(batch["liked"]).squeeze(1), made.model(batch["other"]).squeeze(1)
            loss = made.loss_fn(b, a, torch.ones_like(a))
            loss.backward()
            made.optimizer.step()
            auc = (a > b).float().mean().item()
    return auc


def counted_in_one_line(made):
    for _ in range(6):
        for batch in made.train_loader:
            up, down = made.model(batch["liked"]).squeeze(1), made.model(batch["other"]).squeeze(1)
            loss = made.loss_fn(down, up, torch.ones_like(up))
            made.optimizer.zero_grad()
            loss.backward()
            made.optimizer.step()
        right = sum((made.model(p["liked"]) > made.model(p["other"])).sum().item() for p in made.train_loader)
    return right


def counted_in_a_list(made):
    for _ in range(6):
        for liked, other in made.train_loader:
            loss = made.loss_fn(made.model(other).squeeze(1), made.model(liked).squeeze(1), torch.ones(len(liked)))
            made.optimizer.zero_grad()
            loss.backward()
            made.optimizer.step()
    acc = torch.cat([made.model(liked) > made.model(other) for _, (liked, other) in enumerate(made.train_loader)])
    return acc.float().mean()


def of_mappings():
    made = pairs()
    made.train_loader = [{"liked": a, "other": b} for a, b in made.train_loader]
    return made


@pytest.mark.parametrize(
    ("make", "loop"),
    [
        (pairs, swapped),
        (pairs, with_a_turned_target),
        (of_mappings, by_keys),
        (of_mappings, counted_in_one_line),
        (pairs, counted_in_a_list),
    ],
    ids=["swapped", "turned target", "by keys", "counted in one line", "counted in a list"],
)
def test_pairs_that_are_ranked_the_other_way_round(make, loop):
    finding = checked(make(), loop)
    assert finding.severity == "error", finding.message
    assert "the other way round than the loop counts them as right" in finding.message
    assert "loss" in finding.where
    assert finding.evidence["ranked_as_the_loss_asks"] > 0.9


def as_it_should_be(made):
    for liked, other in made.train_loader:
        made.optimizer.zero_grad()
        up, down = made.model(liked).squeeze(1), made.model(other).squeeze(1)
        made.loss_fn(up, down, torch.ones(len(up))).backward()
        made.optimizer.step()
    right = 0
    for liked, other in made.train_loader:
        right += (made.model(liked) > made.model(other)).sum().item()


def with_distances(made):
    """What is liked has to be near."""
    for liked, other in made.train_loader:
        made.optimizer.zero_grad()
        near, far = made.model(liked).squeeze(1), made.model(other).squeeze(1)
        made.loss_fn(far, near, torch.ones(len(far))).backward()
        made.optimizer.step()
    right = 0
    for liked, other in made.train_loader:
        right += (made.model(liked) < made.model(other)).sum().item()


def counting_mistakes(made):
    for liked, other in made.train_loader:
        made.optimizer.zero_grad()
        near, far = made.model(liked).squeeze(1), made.model(other).squeeze(1)
        made.loss_fn(far, near, torch.ones(len(far))).backward()
        made.optimizer.step()
    wrong = 0
    for liked, other in made.train_loader:
        wrong += (made.model(liked) > made.model(other)).sum().item()


def with_a_side_named_right(made):
    for left, right in made.train_loader:
        made.optimizer.zero_grad()
        a, b = made.model(left).squeeze(1), made.model(right).squeeze(1)
        made.loss_fn(b, a, torch.ones(len(a))).backward()
        made.optimizer.step()
    count = 0
    for left, right in made.train_loader:
        count += (made.model(left) > made.model(right)).sum().item()


def with_other_names_in_the_validation(made):
    for liked, other in made.train_loader:
        made.optimizer.zero_grad()
        up, down = made.model(liked).squeeze(1), made.model(other).squeeze(1)
        made.loss_fn(down, up, torch.ones(len(up))).backward()
        made.optimizer.step()
    right = 0
    for far, near in made.train_loader:
        right += (made.model(far) > made.model(near)).sum().item()


def counting_mistakes_in_one_line(made):
    for liked, other in made.train_loader:
        made.optimizer.zero_grad()
        near, far = made.model(liked).squeeze(1), made.model(other).squeeze(1)
        made.loss_fn(far, near, torch.ones(len(far))).backward()
        made.optimizer.step()
    return sum((made.model(liked) > made.model(other)).sum() for liked, other in made.train_loader)


def with_a_sign_for_each_pair(made):
    for liked, other in made.train_loader:
        sign = torch.ones(len(liked))
        sign[::2] = -1
        made.optimizer.zero_grad()
        up, down = made.model(liked).squeeze(1), made.model(other).squeeze(1)
        made.loss_fn(down, up, sign).backward()
        made.optimizer.step()
    right = 0
    for liked, other in made.train_loader:
        right += (made.model(liked) > made.model(other)).sum().item()


def counting_nothing(made):
    for liked, other in made.train_loader:
        made.optimizer.zero_grad()
        up, down = made.model(liked).squeeze(1), made.model(other).squeeze(1)
        made.loss_fn(down, up, torch.ones(len(up))).backward()
        made.optimizer.step()


@pytest.mark.parametrize(
    "loop",
    [
        as_it_should_be,
        with_distances,
        counting_mistakes,
        with_a_side_named_right,
        with_other_names_in_the_validation,
        counting_mistakes_in_one_line,
        with_a_sign_for_each_pair,
        counting_nothing,
    ],
)
def test_what_is_not_known_to_be_backwards_passes(loop):
    finding = checked(pairs(), loop)
    assert finding.severity not in ("error", "warning"), finding.message


def test_without_time_or_source_nothing_is_said():
    assert checked(pairs(), swapped, seconds=0).severity == "skipped"
    assert checked(pairs(), swapped, read=False).severity not in ("error", "warning")
