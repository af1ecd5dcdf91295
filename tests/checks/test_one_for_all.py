import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni

ARMS = 4


def pulls(items=400):
    """A context, the arm that was pulled, and the reward that came."""
    generator = torch.Generator().manual_seed(0)
    context = torch.randn(items, 5, generator=generator)
    arm = torch.randint(0, ARMS, (items,), generator=generator)
    means = torch.tanh(context @ torch.randn(5, ARMS, generator=generator))
    return context, arm, means.gather(1, arm[:, None])[:, 0]


def network(inputs=5):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, ARMS))


def of_all(model, context, arm, reward):
    output = model(context)
    return F.mse_loss(output, reward[:, None].expand_as(output))


def of_the_arm(model, context, arm, reward):
    return F.mse_loss(model(context).gather(1, arm[:, None])[:, 0], reward)


def of_all_knowing_the_arm(model, context, arm, reward):
    output = model(torch.cat([context, F.one_hot(arm, ARMS).float()], 1))
    return F.mse_loss(output, reward[:, None].expand_as(output))


def look(loss, data, model=None):
    model = model or network()
    loader = DataLoader(TensorDataset(*data), batch_size=40, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    with nni.watch(model, optimizer, train_loader=loader, show=False) as inspector:
        for _ in range(15):
            for context, arm, reward in loader:
                optimizer.zero_grad()
                loss(model, context, arm, reward).backward()
                optimizer.step()
        return inspector.check("loss_reduction")


@pytest.mark.parametrize("column", [False, True])
def test_a_reward_that_is_asked_of_all_arms(column):
    context, arm, reward = pulls()

    def of_all_in_columns(model, context, arm, reward):
        return of_all(model, context, arm, reward[:, 0])

    finding = look(of_all_in_columns, (context, arm[:, None], reward[:, None])) if column else look(of_all, pulls())
    assert finding.severity == "error", finding.message
    assert "all 4 outputs" in finding.message
    assert "gather" in finding.remedy.code
    assert finding.remedy.tried.helped
    assert finding.basis == "experiment"


def test_the_reward_of_the_arm_alone_is_right():
    assert look(of_the_arm, pulls()).severity == "ok"


def test_several_networks_in_one_learn_the_same_on_purpose():
    context, arm, _ = pulls()
    assert look(of_all, (context, arm, context.sum(1))).severity == "ok"  # whatever the number beside it says


@pytest.mark.parametrize("beside", [torch.arange(400), torch.zeros(400, dtype=torch.long), torch.rand(400)])
def test_what_is_no_choice_among_the_outputs_says_nothing(beside):
    context, _, reward = pulls()
    assert look(of_all, (context, beside, reward)).severity != "error"


def test_a_choice_that_the_network_is_told_is_used():
    assert look(of_all_knowing_the_arm, pulls(), network(5 + ARMS)).severity == "ok"
