import pytest
import torch
from torch import nn

from nn_inspector.checks import Subject
from nn_inspector.checks.loop.good_names import good_names, with_good_names
from nn_inspector.checks.loop.rewards import is_lowered_reward, lowered_reward
from nn_inspector.checks.loop.source import loop_of
from nn_inspector.history import Run
from nn_inspector.training import Training

policy = nn.Linear(3, 2)
optimizer = torch.optim.Adam(policy.parameters())
x, rewards = torch.zeros(3), []


@pytest.mark.parametrize(
    "line",
    [
        "loss = (dist.log_prob(action) * advantage).mean()",
        "loss = (dist.log_prob(action) * (reward - baseline)).mean() - 0.01 * dist.entropy().mean()",
        "loss = torch.mean(log_probs * returns)",
        "losses.append(log_prob * reward)",
        "loss += log_prob * reward",
        "loss = 0.5 * F.mse_loss(value, target) + (logp * (returns - value.detach())).mean()",
        "loss = (log_prob * (reward - reward.mean()) / reward.std()).sum() / n",
        "return (log_prob * advantage.detach()).sum() / n",
        "loss = 2 * (logp * reward).mean()",
        "loss = -(logp * -reward).mean()",
    ],
)
def test_a_reward_that_is_lowered(line):
    assert is_lowered_reward(line)


@pytest.mark.parametrize(
    "line",
    [
        "loss = -(dist.log_prob(action) * advantage).mean()",
        "loss = -(dist.log_prob(action) * (reward - baseline)).mean() - 0.01 * dist.entropy().mean()",
        "loss = (log_prob * (baseline - reward)).mean()",
        "loss = (log_prob * (mean_reward - reward)).mean()",
        "loss = (-log_probs * (returns - values.detach())).sum()",
        "loss = value_loss - (logp * advantage).mean()",
        "loss = -torch.mean(log_probs * returns)",
        "losses.append(-log_prob * reward)",
        "loss += logp * (-reward)",
        "loss = -1 * (logp * reward).mean()",
        "loss = (logp * reward).mean().neg()",
        "loss = (log_prob * cost).mean()",
        "loss = F.cross_entropy(output, target)",
        "log_prob * reward = ",
    ],
)
def test_one_that_is_not(line):
    assert not is_lowered_reward(line)


@pytest.mark.parametrize(
    ("lines", "signs"),
    [
        ([("G", "G = torch.tensor(returns)")], {"G": 1}),
        ([("G", "G = torch.tensor(returns)"), ("G", "G = (G - G.mean()) / (G.std() + 1e-6)")], {"G": 1}),
        ([("A", "A = returns - values.detach()")], {"A": 1}),
        ([("A", "A = values.detach() - returns")], {"A": -1}),
        ([("cost", "cost = -np.array(rewards)")], {"cost": -1}),
        ([("R", "for log_prob, R in zip(log_probs, returns):")], {"R": 1}),
        ([("r", "for r in reversed(self.rewards):")], {"r": 1}),
        ([("R", "R, own = returns.float(), []")], {"R": 1}),
        ([("G", "G = torch.tensor(returns)"), ("G", "G = something(G)")], {}),
        ([("w", "w = torch.exp(-rewards)")], {}),
        ([("w", "w = returns / rewards")], {}),
        ([("d", "d = returns - old_returns")], {}),
        ([("returns", "returns = -losses")], {}),
        ([("x", "for x in range(10):"), ("y", "y ="), ("z", "z = 3 * returns")], {}),
    ],
)
def test_names_that_stand_for_a_reward(lines, signs):
    assert good_names(lines) == signs


def test_only_what_is_read_is_renamed():
    assert with_good_names("G = G + 1", {"G": 1}) == "G = reward + 1"
    assert with_good_names("loss = f(x)", {"G": 1}) == "loss = f(x)"
    assert with_good_names("loss = ", {"G": 1}) == "loss = "


def named_otherwise():
    for _ in range(3):
        G = torch.tensor(rewards)  # noqa: N806 - as it is written in papers
        G = (G - G.mean()) / (G.std() + 1e-6)  # noqa: N806
        log_probs = policy(x).log_softmax(0)
        loss = (log_probs * G).mean()
        loss.backward()
        optimizer.step()


def named_otherwise_with_its_minus():
    for _ in range(3):
        G = -torch.tensor(rewards)  # noqa: N806
        log_probs = policy(x).log_softmax(0)
        loss = (log_probs * G).mean()
        loss.backward()
        optimizer.step()


def collected():
    for _ in range(3):
        policy_loss = []
        returns = torch.tensor(rewards)
        for log_prob, R in zip(policy(x).log_softmax(0), returns, strict=True):  # noqa: N806
            policy_loss.append(log_prob * R)
        policy_loss = torch.cat(policy_loss).sum()
        policy_loss.backward()
        optimizer.step()


def collected_with_its_minus():
    for _ in range(3):
        policy_loss = []
        returns = torch.tensor(rewards)
        for log_prob, R in zip(policy(x).log_softmax(0), returns, strict=True):  # noqa: N806
            policy_loss.append(-log_prob * R)
        policy_loss = torch.cat(policy_loss).sum()
        policy_loss.backward()
        optimizer.step()


def collected_and_turned_at_the_end():
    for _ in range(3):
        policy_loss = []
        for log_prob, reward in zip(policy(x).log_softmax(0), rewards, strict=True):
            policy_loss.append(log_prob * reward)
        loss = -torch.stack(policy_loss).sum()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("loop", "where"),
    [
        (named_otherwise, "loss = (log_probs * G).mean()"),
        (named_otherwise_with_its_minus, None),
        (collected, "policy_loss = torch.cat(policy_loss).sum()"),
        (collected_with_its_minus, None),
        (collected_and_turned_at_the_end, None),
    ],
)
def test_a_loop_that_lowers_its_reward(loop, where):
    found = lowered_reward(loop_of(Subject(Training(policy, optimizer, loop=loop), Run("read", {}), seconds=0.0)))
    assert found == where if where is None else found.endswith(where)
