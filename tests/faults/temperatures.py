"""Softmaxes within a network whose scores are out of proportion."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.faults.symptoms import NO_SIGNAL
from tests.scenes import Scene, fault


class Lookup(nn.Module):
    def __init__(self, temperature):
        super().__init__()
        self.keys, self.query = nn.Linear(9, 24), nn.Linear(6, 24)
        self.values, self.out = nn.Linear(9, 24), nn.Linear(24, 3)
        self.temperature = temperature

    def forward(self, entries, wanted):
        scores = self.keys(entries) @ self.query(wanted).unsqueeze(-1) / self.temperature
        return self.out((scores.softmax(dim=1) * self.values(entries)).sum(1))


@fault("own-temperature-that-chooses-once-and-for-all", kind="architecture/softmax_temperature", causes={"hidden_activation"},
       symptoms=NO_SIGNAL | {"learning_rate", "training_length"}, learns=0.9)  # fmt: skip
def temperature_too_low(repaired, seed):
    torch.manual_seed(seed)
    places = torch.stack([torch.randperm(6) for _ in range(2000)])
    held, wanted = torch.randint(0, 3, (2000, 6)), torch.randint(0, 6, (2000,))
    entries = torch.cat([F.one_hot(places, 6), F.one_hot(held, 3)], -1).float()
    queries, y = F.one_hot(wanted, 6).float(), (held * (places == wanted[:, None])).sum(1)
    model = Lookup(1.0 if repaired else 0.001)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(entries, queries, y), batch_size=50, shuffle=True)

    def train():
        for epoch in range(12):
            for items, query, label in loader:
                optimizer.zero_grad()
                loss = criterion(model(items, query), label)
                loss.backward()
                optimizer.step()
            print(epoch, loss.item())

    def right():
        with torch.no_grad():
            return (model(entries, queries).argmax(1) == y).float().mean().item()

    return Scene(model, optimizer, criterion, loader, train, score=right)
