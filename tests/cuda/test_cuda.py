"""The same promises on a GPU: an untouched training, right verdicts, and no wait for the device in a step."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

DEVICE = "cuda"


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(30, 16)
        self.lstm = nn.LSTM(16, 32, batch_first=True)
        self.out = nn.Linear(32, 3)

    def forward(self, tokens):
        return self.out(self.lstm(self.embedding(tokens))[0][:, -1])


class Detached(Tagger):
    def forward(self, tokens):
        return self.out(self.lstm(self.embedding(tokens).detach())[0][:, -1])


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(30, 32)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True), 2, enable_nested_tensor=False
        )
        self.out = nn.Linear(32, 3)

    def forward(self, tokens):
        return self.out(self.encoder(self.embedding(tokens)).mean(1))


def points():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(512, 8, generator=generator)
    return TensorDataset(x, x[:, :3].argmax(1))


def images():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (384,), generator=generator)
    x = torch.randn(384, 1, 12, 12, generator=generator)
    x[torch.arange(384), 0, 4 * labels] += 2.0
    return TensorDataset(x, labels)


def sentences():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (512,), generator=generator)
    tokens = torch.randint(3, 30, (512, 10), generator=generator)
    tokens[:, 5] = labels
    return TensorDataset(tokens, labels)


def mlp():
    return nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 3))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(),
        nn.Dropout(0.1), nn.Linear(288, 3),
    )  # fmt: skip


KINDS = {
    "mlp": (mlp, points),
    "cnn": (cnn, images),
    "lstm": (Tagger, sentences),
    "detached": (Detached, sentences),
    "transformer": (Transformer, sentences),
}

SOUND = ("mlp", "cnn", "lstm", "transformer")


class Case:
    """A training on the GPU, as people write it."""

    def __init__(self, kind, *, lr=3e-3, zero_grad=True, softmax=False, amp=False, own_loss=False):
        build, data = KINDS[kind]
        torch.manual_seed(0)
        self.model = build().to(DEVICE)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=lr)
        self.loss_fn = None if own_loss else nn.CrossEntropyLoss()
        self.loader = DataLoader(data(), batch_size=32, shuffle=True)
        self.zero_grad, self.softmax = zero_grad, softmax
        self.scaler = torch.amp.GradScaler(DEVICE, enabled=amp)
        self.amp = amp
        self.losses = []

    def train(self, epochs=8):
        for _ in range(epochs):
            for inputs, target in self.loader:
                x, y = inputs.to(DEVICE), target.to(DEVICE)
                if self.zero_grad:
                    self.optimizer.zero_grad()
                with torch.autocast(DEVICE, enabled=self.amp):
                    out = self.model(x)
                    if self.softmax:
                        out = out.softmax(1)
                    loss = F.cross_entropy(out, y) if self.loss_fn is None else self.loss_fn(out, y)
                self.scaler.scale(loss).backward()
                self.scaler.step(self.optimizer)
                self.scaler.update()
                self.losses.append(loss.detach())

    def watch(self, **options):
        return nni.watch(
            self.model, self.optimizer, self.loss_fn, train_loader=self.loader, loop=self.train, show=False, **options
        )


@pytest.fixture(autouse=True)
def _deterministic(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.deterministic = True
    yield
    torch.backends.cudnn.deterministic = False


@pytest.mark.parametrize("probes", ["standard", "full"])
@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("kind", SOUND)
def test_the_training_is_untouched(kind, amp, probes):
    ends = []
    for watched in (False, True):
        case = Case(kind, amp=amp)
        if watched:
            with case.watch(probes=probes, every=3) as inspector:
                case.train(2)
                inspector.diagnose(budget=20)
                case.train(1)
        else:
            case.train(3)
        ends.append([*case.losses, *case.model.parameters(), torch.get_rng_state(), torch.cuda.get_rng_state()])
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


@pytest.mark.parametrize("own_loss", [False, True])
@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("kind", SOUND)
def test_nothing_is_said_against_a_sound_training_and_no_check_fails(kind, amp, own_loss):
    case = Case(kind, amp=amp, own_loss=own_loss)
    with case.watch() as inspector:
        case.train()
        diagnosis = inspector.diagnose(budget=60)
    said = [f"{finding.check}: {finding.message}" for finding in diagnosis.findings]
    assert inspector.problems == []
    assert not [text for text in said if "failed itself" in text or "same device" in text or "cuda" in text.lower()]
    assert diagnosis.causes == [], str(diagnosis)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"zero_grad": False, "lr": 0.03}, "zeroed_gradients"),
        ({"lr": 1e-7}, "learning_rate"),
        ({"softmax": True, "lr": 1e-4}, "loss_match"),
    ],
)
@pytest.mark.parametrize("own_loss", [False, True])
def test_a_mistake_is_named_first(options, cause, own_loss):
    case = Case("mlp", own_loss=own_loss, **options)
    with case.watch() as inspector:
        case.train(4)
        diagnosis = inspector.diagnose(budget=60)
    assert diagnosis.findings[0].check == cause, str(diagnosis)


@pytest.mark.parametrize("probes", ["standard", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_does_not_wait_for_the_device(kind, probes):
    case = Case(kind)
    batches = [(x.to(DEVICE), y.to(DEVICE)) for x, y in case.loader]
    plain = copy.deepcopy(case.model)
    waits = {}
    for name, model in (("plain", plain), ("watched", case.model)):
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        options = {"every": 2, "probes": probes, "show": False}
        inspector = nni.watch(model, optimizer, case.loss_fn, **options) if name == "watched" else None
        for x, y in batches * 4:  # the first steps are traced closely
            step(model, optimizer, case.loss_fn, x, y)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            for x, y in batches[:10]:
                step(model, optimizer, case.loss_fn, x, y)
            torch.cuda.set_sync_debug_mode("default")
        waits[name] = sum("synchroniz" in str(one.message) for one in caught)
        if inspector is not None:
            inspector.detach()
    assert waits["watched"] <= waits["plain"]


def step(model, optimizer, loss_fn, x, y):
    optimizer.zero_grad()
    loss_fn(model(x), y).backward()
    optimizer.step()


def test_a_lost_loss_leads_to_its_batch_although_it_arrives_late():
    inputs, target = torch.rand(1600, 8), torch.zeros(1600, dtype=torch.long)
    inputs[90 * 16 + 5] = float("nan")
    loader = DataLoader(TensorDataset(inputs, target), batch_size=16)
    model, loss_fn = nn.Linear(8, 3).to(DEVICE), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with nni.watch(model, optimizer, loss_fn, train_loader=loader, keep_samples=True) as inspector:
        for items, labels in loader:
            optimizer.zero_grad()
            loss_fn(model(items.to(DEVICE)), labels.to(DEVICE)).backward()
            optimizer.step()
    assert inspector.problems == []
    assert inspector.run.series("worst_items", "outlier").steps.tolist() == [90]
    assert inspector.run.last_vector("worst_items", "outlier")[3:5].tolist() == [5, 90 * 16 + 5]
    assert inspector.run.last_vector("sample", "outlier 0")[:3].tolist() == [8, 0, 0]


def test_gradients_of_a_recurrent_layer_at_rest_are_looked_at():
    case = Case("detached", own_loss=True)
    with case.watch() as inspector, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        case.train(4)
        diagnosis = inspector.diagnose(budget=60)
    assert not [finding.message for finding in diagnosis.findings if "failed itself" in finding.message]
    assert diagnosis.findings[0].check == "gradient_flow", str(diagnosis)
    assert not [str(one.message) for one in caught if "contiguous" in str(one.message)]


def on_device(data):
    return TensorDataset(*(tensor.to(DEVICE) for tensor in data.tensors))


def test_labels_on_the_device_are_read_without_waiting_for_them():
    case = Case("mlp")
    case.loader = DataLoader(on_device(points()), batch_size=32, shuffle=True)
    with case.watch() as inspector:
        case.train(4)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            for _ in case.loader:  # the fifth pass is read again
                pass
            torch.cuda.set_sync_debug_mode("default")
        findings = [inspector.check(name) for name in ("batch_balance", "shuffling", "label_balance")]
        first, *_, last = inspector.run.epochs("train")
    waits = [str(one.message) for one in caught if "synchronizing" in str(one.message)]
    assert len(waits) < len(case.loader) / 2, "once a pass a few weights are looked at; no batch waits"
    assert first.read == first.batches == last.read == 16
    assert first.class_counts.tolist() == points().tensors[1].bincount().tolist()
    assert [finding.severity for finding in findings] == ["ok"] * 3


def test_training_data_on_the_device_are_compared_with_validation_data_on_the_host():
    case = Case("mlp")
    case.loader = DataLoader(on_device(points()), batch_size=32, shuffle=True)
    x, y = points().tensors
    with case.watch(val_loader=DataLoader(TensorDataset(x - 6, y), batch_size=64)) as inspector:
        case.train()
        finding = inspector.check("split_shift")
    assert finding.severity == "error", finding.message


class Shares(nn.Module):
    """A softmax over one unit: what remedies are tried on may leave the range that the loss takes."""

    def __init__(self):
        super().__init__()
        self.embedding, self.hidden = nn.Embedding(100, 12), nn.Linear(12, 24)
        self.head = nn.Sequential(nn.Linear(24, 1), nn.Softmax(dim=1))

    def forward(self, tokens):
        return self.head(self.hidden(self.embedding(tokens).mean(1)).relu())[:, 0]


def test_no_experiment_makes_the_device_unusable():
    case = Case("mlp")
    tokens = torch.randint(0, 100, (600, 10), generator=torch.Generator().manual_seed(0))
    case.model, case.loss_fn = Shares().to(DEVICE), nn.BCELoss()
    case.optimizer = torch.optim.Adam(case.model.parameters(), lr=0.01)
    case.loader = DataLoader(TensorDataset(tokens, ((tokens < 12).sum(1) >= 2).float()), batch_size=32, shuffle=True)
    with case.watch() as inspector:
        case.train(4)
        diagnosis = inspector.diagnose(budget=60)
    assert torch.ones(3, device=DEVICE).sum().item() == 3.0
    assert not [finding.message for finding in diagnosis.findings if "failed itself" in finding.message]
    assert diagnosis.findings[0].check == "output_layer", str(diagnosis)
