"""What a network keeps in attributes of its own from one batch to the next."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.faults.symptoms import OVERFIT, STUCK
from tests.scenes import Scene, fault


@fault("own-charge-of-the-batch-before", kind="recurrent/model/state_in_an_attribute",
       causes={"retained_state"}, symptoms=STUCK | OVERFIT | {"initial_loss", "divergence"}, learns=0.85)  # fmt: skip
def charge_that_is_never_let_off(repaired, seed):
    torch.manual_seed(seed)
    series = torch.randn(800, 10, 4)
    y = (series @ torch.randn(4, 3)).sum(1).argmax(1)

    class LeakyCells(nn.Module):
        def __init__(self):
            super().__init__()
            self.into, self.out = nn.Linear(4, 32), nn.Linear(32, 3)
            self.charge = None

        def forward(self, x):
            if repaired or self.charge is None or self.charge.shape[0] != x.shape[0]:
                self.charge = x.new_zeros(x.shape[0], 32)
            charge = self.charge
            for moment in x.unbind(1):
                charge = 0.98 * charge + self.into(moment)
            self.charge = charge.detach()
            return self.out(torch.tanh(charge))

    model = LeakyCells()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(series, y), batch_size=40, shuffle=True)

    def train():
        for epoch in range(12):
            for x, label in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), label)
                loss.backward()
                optimizer.step()

    def carried_score():
        with torch.no_grad():
            answers = torch.cat([model(part).argmax(1) for part in series.split(40)])
        return (answers == y).float().mean().item()

    return Scene(model, optimizer, criterion, loader, train, score=carried_score, symptom=lambda: carried_score() < 0.8)
