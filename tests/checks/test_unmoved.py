import pytest
import torch
from torch import nn
from torch.distributions import Categorical

import nn_inspector as nni


def actor_critic(*, lr=1e-6, steps=150, kind=torch.optim.Adam, trained=False, rising=False, width=48):
    """The best of three answers depends on the state; the actor's own answers decide what it is told."""
    torch.manual_seed(0)
    best = torch.randn(5, 3)
    agent = nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Linear(width, 4))
    if trained:
        with torch.no_grad():
            for parameter in agent.parameters():
                parameter.mul_(1.7).add_(0.01)
    optimizer = kind(agent.parameters(), lr=lr)

    def train():
        for number in range(steps):
            if rising:
                optimizer.param_groups[0]["lr"] = lr * (number + 1) / steps
            state = torch.randn(32, 5)
            output = agent(state)
            chances = Categorical(logits=output[:, :3])
            action = chances.sample()
            reward = ((state @ best).argmax(1) == action).float()
            advantage = reward - output[:, 3].detach()
            loss = (output[:, 3] - reward).square().mean() - (chances.log_prob(action) * advantage).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    with nni.watch(agent, optimizer, loop=train, show=False) as inspector:
        train()
        return inspector.check("learning_rate")


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_weights_that_hardly_moved_at_a_very_low_rate_are_named_without_an_experiment(kind):
    finding = actor_critic(kind=kind)
    assert (finding.severity, finding.basis) == ("warning", "structure"), finding.message
    assert "a learning rate of 1e-06 is too low" in finding.message
    assert "In 150 steps no layer's weights moved by more than" in finding.message
    assert finding.evidence["moved"] < 0.01


@pytest.mark.parametrize(
    "options",
    [{"lr": 3e-3}, {"lr": 3e-5}, {"steps": 60}, {"trained": True}, {"rising": True}, {"lr": 0.0}, {"lr": 1e-5, "width": 2048}],
    ids=["usual", "low", "few steps", "trained before", "warm-up", "none", "wide"],
)  # fmt: skip
def test_where_they_moved_or_may_not_need_to_nothing_is_said(options):
    assert actor_critic(**options).severity == "skipped"
