import pytest

from nn_inspector.checks.loop.rewards import is_lowered_reward


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
