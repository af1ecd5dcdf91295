"""The notebooks that are measured: what their cells hold."""

from __future__ import annotations

TRAINING = """
import json, time
import torch
from torch import nn
import nn_inspector as nni

torch.manual_seed(0)
torch.set_num_threads(1)
inputs, target = torch.randn(64, 1, 8, 8), torch.randint(0, 10, (64,))
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
loss_fn = nn.CrossEntropyLoss()

def step():
    optimizer.zero_grad()
    loss_fn(model(inputs), target).backward()
    optimizer.step()
"""
"""A small training whose steps take a few milliseconds."""

WATCH = """
inspector = nni.watch(model, optimizer, loss_fn, show=False, run=False, max_overhead=1.0)
board = inspector.dashboard()
ticks = []
board._publisher._views.insert(0, lambda: ticks.append((inspector.run.steps, time.time())))
board
"""
"""With so much overhead allowed, the dashboard is updated twice a second, whatever an update costs."""

IDLE = "time.sleep({seconds})"

RUN = """
end, ticks[:] = time.time() + {seconds}, []
while time.time() < end:
    step()
"""

FOREVER = """
while True:
    step()
"""

TOLD = "print(json.dumps(ticks))"
"""When each update was published, and of which step."""

UPDATES = """
time.sleep(2)
for _ in range({updates}):
    step()
    board._publisher.update()
"""
"""So many updates, as fast as they can be made, after a moment in which the page can be hidden."""

DEEP = """
layers = [layer for _ in range(100) for layer in (nn.Linear(16, 16), nn.Tanh())]
model = nn.Sequential(*layers, nn.Linear(16, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
inputs = torch.randn(64, 16)
inspector = nni.watch(model, optimizer, loss_fn, show=False, run=False)
for _ in range(30):
    step()
"""
"""A model of 201 layers, watched for some steps."""

OPEN = "inspector.dashboard()"

LONG = """
from nn_inspector.probes import Measurement

run, every = inspector.run, {steps} // 2000
names = [name for name, _ in model.named_parameters()]
rate = torch.rand({steps}).tolist()
for start in range(0, {steps}, every):
    found = [Measurement(step, "loss", "train", 3.0 / (1 + 1e-5 * step) + rate[step]) for step in range(start, start + every)]
    for name in names:
        for quantity, value in (("gradient_norm", 0.1), ("weight_norm", 5.0), ("update_norm", 0.005)):
            found.append(Measurement(start + every - 1, quantity, name, value * (1 + rate[start])))
    run.record(found)
run.steps = {steps}
board.refresh()
"""
"""Fills the run as a training of so many steps would have."""
