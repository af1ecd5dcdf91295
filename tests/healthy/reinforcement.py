"""Learning from rewards: losses that need not fall, data that the policy makes itself."""

import random
from collections import deque

import torch
from torch import nn
from torch.distributions import Categorical
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.scenes import Scene, healthy

SIZE, GOAL = 4, (3, 3)
MOVES = ((0, 1), (0, -1), (1, 0), (-1, 0))


class GridWorld:
    """A square of fields: -0.05 a move, 1 at the goal in the far corner, at most 24 moves."""

    def reset(self):
        self.place, self.moves = (0, 0), 0
        return self.state()

    def state(self):
        return F.one_hot(torch.tensor(self.place[0] * SIZE + self.place[1]), SIZE * SIZE).float()

    def step(self, action):
        self.moves += 1
        across, up = (min(max(p + d, 0), SIZE - 1) for p, d in zip(self.place, MOVES[action], strict=True))
        self.place = (across, up)
        reached = self.place == GOAL
        return self.state(), 1.0 if reached else -0.05, reached or self.moves >= 24


def mean_return(policy, episodes=20):
    """What a policy, state -> action, earns in an episode."""
    env, total = GridWorld(), 0.0
    for _ in range(episodes):
        state, done = env.reset(), False
        while not done:
            state, reward, done = env.step(policy(state))
            total += reward
    return total / episodes


@healthy("contextual_bandit", kind="reinforcement", learns=0.8)
def contextual_bandit(seed):
    torch.manual_seed(seed)
    best = torch.randn(6, 4)
    policy = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 4))
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)

    def pull(context, arm):
        return ((context @ best).argmax(1) == arm).float()

    def train():
        baseline = 0.25
        for step in range(400):
            context = torch.randn(64, 6)
            dist = Categorical(logits=policy(context))
            arm = dist.sample()
            reward = pull(context, arm)
            loss = -(dist.log_prob(arm) * (reward - baseline)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            baseline = 0.9 * baseline + 0.1 * reward.mean().item()
            if step % 50 == 0:
                print(f"step {step}: reward {baseline:.2f}")

    def score():
        context = torch.randn(1000, 6)
        with torch.no_grad():
            return pull(context, policy(context).argmax(1)).mean().item()

    return Scene(policy, optimizer, None, None, train, score=score)


@healthy("reinforce", kind="reinforcement", learns=0.4)
def reinforce(seed):
    torch.manual_seed(seed)
    env = GridWorld()
    policy = nn.Sequential(nn.Linear(SIZE * SIZE, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    gamma = 0.95

    def run_episode():
        log_probs, rewards = [], []
        state, done = env.reset(), False
        while not done:
            m = Categorical(F.softmax(policy(state), dim=0))
            action = m.sample()
            log_probs.append(m.log_prob(action))
            state, reward, done = env.step(action.item())
            rewards.append(reward)
        return log_probs, rewards

    def main():
        for i_update in range(100):
            policy_loss, all_returns = [], []
            for _ in range(4):
                log_probs, rewards = run_episode()
                R, returns = 0, deque()
                for r in reversed(rewards):
                    R = r + gamma * R
                    returns.appendleft(R)
                policy_loss += log_probs
                all_returns += returns
            returns = torch.tensor(all_returns)
            returns = (returns - returns.mean()) / (returns.std() + 1e-6)
            loss = -(torch.stack(policy_loss) * returns).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if i_update % 20 == 0:
                print(f"Update {i_update}\tLast reward: {sum(rewards):.2f}")

    def score():
        with torch.no_grad():
            return mean_return(lambda state: Categorical(logits=policy(state)).sample().item())

    return Scene(policy, optimizer, None, None, main, score=score)


class ActorCriticNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(SIZE * SIZE, 48)
        self.actor = nn.Linear(48, 4)
        self.critic = nn.Linear(48, 1)

    def forward(self, x):
        x = torch.tanh(self.body(x))
        return self.actor(x), self.critic(x)


@healthy("actor_critic", kind="reinforcement", learns=0.4)
def actor_critic(seed):
    torch.manual_seed(seed)
    env, net = GridWorld(), ActorCriticNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)

    def train():
        for _episode in range(200):
            state, done = env.reset(), False
            logps, values, rewards, entropies = [], [], [], []
            while not done:
                logits, value = net(state)
                dist = Categorical(logits=logits)
                action = dist.sample()
                state, reward, done = env.step(action.item())
                logps.append(dist.log_prob(action))
                entropies.append(dist.entropy())
                values.append(value.squeeze())
                rewards.append(reward)
            returns, running = [], 0.0
            for reward in reversed(rewards):
                running = reward + 0.95 * running
                returns.insert(0, running)
            returns, values = torch.tensor(returns), torch.stack(values)
            advantage = returns - values.detach()
            actor_loss = -(torch.stack(logps) * advantage).mean()
            critic_loss = F.smooth_l1_loss(values, returns)
            optimizer.zero_grad()
            (actor_loss + critic_loss - 0.01 * torch.stack(entropies).mean()).backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()

    def score():
        with torch.no_grad():
            return mean_return(lambda state: Categorical(logits=net(state)[0]).sample().item())

    return Scene(net, optimizer, None, None, train, score=score)


@healthy("q_learning_with_target_network", kind="reinforcement", learns=0.6)
def q_learning_with_target_network(seed):
    torch.manual_seed(seed)
    chance = random.Random(seed)
    env = GridWorld()
    q_net = nn.Sequential(nn.Linear(SIZE * SIZE, 64), nn.ReLU(), nn.Linear(64, 4))
    target_net = nn.Sequential(nn.Linear(SIZE * SIZE, 64), nn.ReLU(), nn.Linear(64, 4))
    target_net.load_state_dict(q_net.state_dict())
    optimizer = torch.optim.Adam(q_net.parameters(), lr=2e-3)
    memory = deque(maxlen=5000)
    criterion = nn.SmoothL1Loss()

    def optimize_model():
        batch = chance.sample(memory, 64)
        states, actions, rewards, next_states, dones = map(torch.stack, zip(*batch, strict=True))
        q = q_net(states).gather(1, actions.unsqueeze(1)).squeeze(1)
        with torch.no_grad():
            target = rewards + 0.95 * target_net(next_states).max(1).values * (1 - dones)
        loss = criterion(q, target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(q_net.parameters(), 100)
        optimizer.step()

    def train():
        steps = 0
        for episode in range(120):
            epsilon = max(0.05, 1 - episode / 60)
            state, done = env.reset(), False
            while not done:
                with torch.no_grad():
                    action = chance.randrange(4) if chance.random() < epsilon else q_net(state).argmax().item()
                next_state, reward, done = env.step(action)
                ends = float(env.place == GOAL)
                transition = (torch.tensor(action), torch.tensor(reward), next_state, torch.tensor(ends))
                memory.append((state, *transition))
                state = next_state
                steps += 1
                if len(memory) >= 200:
                    optimize_model()
                if steps % 100 == 0:
                    target_net.load_state_dict(q_net.state_dict())

    def score():
        with torch.no_grad():
            return mean_return(lambda state: q_net(state).argmax().item(), episodes=1)

    return Scene(q_net, optimizer, criterion, None, train, score=score)


class Curiosity(nn.Module):
    """How new a state is: how badly a network answers like a random one that nobody trains."""

    def __init__(self, features):
        super().__init__()
        self.predictor = nn.Sequential(
            nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16)
        )
        self.target = nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 16))
        for p in self.target.parameters():
            p.requires_grad_(False)

    def forward(self, x):
        return (self.predictor(x) - self.target(x)).pow(2).mean(1)


@healthy("novelty_by_a_random_network", kind="reinforcement", learns=0.9)
def novelty_by_a_random_network(seed):
    torch.manual_seed(seed)
    visited = torch.randn(1280, 12) * torch.tensor([1.0] * 6 + [0.0] * 6)
    strange = torch.randn(400, 12) * torch.tensor([0.0] * 6 + [1.0] * 6)
    model = Curiosity(12)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    loader = DataLoader(TensorDataset(visited), batch_size=64, shuffle=True)

    def train():
        for epoch in range(10):
            for (states,) in loader:
                loss = model(states).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(f"epoch {epoch}: novelty {loss.item():.4f}")

    def score():
        with torch.no_grad():
            known, new = model(visited[:400]), model(strange)
            return (new[:, None] > known[None]).float().mean().item()

    return Scene(model, optimizer, None, loader, train, score=score)
