"""Loops that draw or choose their data themselves, without a loader."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Categorical

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL, OVERFIT, STUCK
from tests.healthy.reinforcement import SIZE, GridWorld, mean_return
from tests.scenes import Scene, fault


@fault("own-physics-with-relu", kind="architecture/activation_without_curvature", causes={"hidden_activation"},
       symptoms=NO_SIGNAL | {"loss_terms", "gradient_flow"}, learns=0.9)  # fmt: skip
def physics_with_relu(repaired, seed):
    torch.manual_seed(seed)
    curved = nn.Tanh if repaired else nn.ReLU
    net = nn.Sequential(nn.Linear(1, 32), curved(), nn.Linear(32, 32), curved(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    ends = torch.tensor([[0.0], [1.0]])

    def train():
        for step in range(1200):
            x = torch.rand(64, 1, requires_grad=True)
            u = net(x)
            du = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
            d2u = torch.autograd.grad(du.sum(), x, create_graph=True)[0]
            residual = d2u + torch.pi**2 * torch.sin(torch.pi * x)
            loss = residual.square().mean() + 10 * net(ends).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 300 == 0:
                print(step, loss.item())

    def score():
        x = torch.linspace(0, 1, 200)[:, None]
        with torch.no_grad():
            return 1 - (net(x) - torch.sin(torch.pi * x)).square().mean().item() / 0.5

    return Scene(net, optimizer, None, None, train, score=score)


@fault("own-policy-gradient-of-another-name", kind="training_loop/reward_minimized", causes={"update_direction"},
       symptoms=STUCK, learns=0.4)  # fmt: skip
def policy_gradient_of_another_name(repaired, seed):
    torch.manual_seed(seed)
    env = GridWorld()
    policy = nn.Sequential(nn.Linear(SIZE * SIZE, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)

    def episode():
        log_probs, rewards = [], []
        state, done = env.reset(), False
        while not done:
            m = Categorical(logits=policy(state))
            action = m.sample()
            log_probs.append(m.log_prob(action))
            state, reward, done = env.step(action.item())
            rewards.append(reward)
        R, returns = 0.0, []
        for r in reversed(rewards):
            R = r + 0.95 * R
            returns.insert(0, R)
        return log_probs, returns

    def train():
        for update in range(100):
            log_probs, returns = [], []
            for _ in range(4):
                new_log_probs, new_returns = episode()
                log_probs += new_log_probs
                returns += new_returns
            G = torch.tensor(returns)
            G = (G - G.mean()) / (G.std() + 1e-6)
            loss = (torch.stack(log_probs) * G).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def train_upwards():
        for update in range(100):
            log_probs, returns = [], []
            for _ in range(4):
                new_log_probs, new_returns = episode()
                log_probs += new_log_probs
                returns += new_returns
            G = torch.tensor(returns)
            G = (G - G.mean()) / (G.std() + 1e-6)
            loss = -(torch.stack(log_probs) * G).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def score():
        with torch.no_grad():
            return mean_return(lambda state: Categorical(logits=policy(state)).sample().item())

    return Scene(policy, optimizer, None, None, train_upwards if repaired else train, score=score)


@fault("own-rate-of-a-loop-over-all-the-data", kind="hyperparameter/learning_rate", causes={"learning_rate"},
       symptoms=STUCK | OVERFIT, learns=0.85)  # fmt: skip
def rate_of_a_loop_over_all_the_data(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2 if repaired else 1e-5)

    def train():
        for epoch in range(120):
            logits = model(X)
            loss = F.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if epoch % 20 == 0:
                print(epoch, loss.item())

    return Scene(model, optimizer, None, None, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("own-policy-gradient-at-a-tiny-rate", kind="hyperparameters/learning_rate_too_low", causes={"learning_rate"},
       symptoms=STUCK | {"update_ratio"}, learns=0.4)  # fmt: skip
def policy_gradient_at_a_tiny_rate(repaired, seed):
    torch.manual_seed(seed)
    env = GridWorld()
    agent = nn.Sequential(nn.Linear(SIZE * SIZE, 32), nn.Tanh(), nn.Linear(32, 4))
    optimizer = torch.optim.Adam(agent.parameters(), lr=1e-2 if repaired else 1e-6)

    def train():
        for update in range(120):
            losses = []
            for _ in range(4):
                state, done, rewards, log_probs = env.reset(), False, [], []
                while not done:
                    chances = Categorical(logits=agent(state))
                    action = chances.sample()
                    state, reward, done = env.step(action.item())
                    log_probs.append(chances.log_prob(action))
                    rewards.append(reward)
                returns = torch.tensor(
                    [sum(0.95**k * r for k, r in enumerate(rewards[t:])) for t in range(len(rewards))]
                )
                losses.append(-(torch.stack(log_probs) * (returns - 0.2)).sum())
            optimizer.zero_grad()
            torch.stack(losses).mean().backward()
            optimizer.step()

    def score():
        with torch.no_grad():
            return mean_return(lambda state: Categorical(logits=agent(state)).sample().item())

    return Scene(agent, optimizer, None, None, train, score=score)


@fault("own-triplets-the-wrong-way-round", kind="loss_mismatch/wrong_pairs", causes={"loss_learnable"}, symptoms=STUCK,
       learns=0.85)  # fmt: skip
def triplets_the_wrong_way_round(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    X, y = X[:500], y[:500]
    torch.manual_seed(seed)
    embed = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 12))
    optimizer = torch.optim.Adam(embed.parameters(), lr=2e-3)

    def drawn(images, labels, count):
        """Places of images, of others of the same digit, and of others of another one."""
        anchors = torch.randint(0, len(labels), (count,))
        same = (labels[anchors, None] == labels).float()
        return anchors, torch.multinomial(same, 1).squeeze(1), torch.multinomial(1 - same, 1).squeeze(1)

    def train():
        for step in range(200):
            anchors, alike, different = drawn(X, y, 32)
            loss = F.triplet_margin_loss(embed(X[anchors]), embed(X[alike]), embed(X[different]), margin=1.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def train_turned():
        for step in range(200):
            anchors, alike, different = drawn(X, y, 32)
            loss = F.triplet_margin_loss(embed(X[anchors]), embed(X[different]), embed(X[alike]), margin=1.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def score():
        """The share of digits whose nearest other one is the same."""
        with torch.no_grad():
            apart = torch.cdist(embed(X_val), embed(X_val)).fill_diagonal_(torch.inf)
        return (y_val[apart.argmin(1)] == y_val).float().mean().item()

    return Scene(embed, optimizer, None, None, train if repaired else train_turned, score=score)
