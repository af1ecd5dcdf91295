import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.trainings import Case, blobs, mlp

TIMES, FEATURES, CLASSES, TOKENS = 6, 5, 4, 7


def series(items=64):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(items, TIMES, FEATURES, generator=generator)
    return TensorDataset(inputs, torch.randint(0, CLASSES, (items,), generator=generator))


def text(items=64):
    tokens = torch.randint(0, TOKENS, (items, 9), generator=torch.Generator().manual_seed(0))
    return TensorDataset(tokens[:, :-1], tokens[:, 1:])


def case(model, data, loss_fn=None, *, shuffle=True, loader=None):
    loader = loader or DataLoader(data, batch_size=8, shuffle=shuffle)
    return Case(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_fn or nn.CrossEntropyLoss(), loader)


class Recurrent(nn.Module):
    def __init__(self, kind=nn.LSTM, how="right", **options):
        super().__init__()
        self.how = how
        self.layer = kind(FEATURES, 8, **options)
        self.head = nn.Linear(16 if options.get("bidirectional") else 8, CLASSES)

    def forward(self, x):
        if self.how == "view":
            return self.head(self.layer(x.view(TIMES, -1, FEATURES))[0][-1])
        if self.how == "transposed":
            return self.head(self.layer(x.transpose(0, 1))[0][-1])
        out, state = self.layer(x)
        if self.how == "states as they lie":
            return self.head(state[0].reshape(x.shape[0], -1))
        if self.how == "states side by side":
            return self.head(state[0].transpose(0, 1).reshape(x.shape[0], -1))
        return self.head(out[:, -1])


class Attending(nn.Module):
    def __init__(self, *, batch_first):
        super().__init__()
        self.layer = nn.MultiheadAttention(FEATURES, 1, batch_first=batch_first)
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, x):
        return self.head(self.layer(x, x, x, need_weights=False)[0].mean(1))


class Language(nn.Module):
    def __init__(self, *, causal=True, flat=False):
        super().__init__()
        self.embedding, self.head = nn.Embedding(TOKENS, 8), nn.Linear(8 if causal else 16, TOKENS)
        self.layer = nn.GRU(8, 8, batch_first=True, bidirectional=not causal)
        self.flat = flat

    def forward(self, x):
        out = self.head(self.layer(self.embedding(x))[0])
        return out.flatten(0, 1) if self.flat else out


class Function(nn.Module):
    """A linear layer, and whatever is done with its outputs."""

    def __init__(self, after, features=8):
        super().__init__()
        self.layer, self.after = nn.Linear(features, CLASSES), after

    def forward(self, x):
        return self.after(self.layer(x))


class Pooling(nn.Module):
    """Weighs the times of a sequence, by several heads or by one, with a function that may be told its axis."""

    def __init__(self, function, heads=2, **options):
        super().__init__()
        self.score, self.head = nn.Linear(FEATURES, heads), nn.Linear(heads * FEATURES, CLASSES)
        self.function, self.options = function, options

    def forward(self, x):
        weights = self.function(self.score(x), **self.options)
        return self.head(torch.einsum("bth,btd->bhd", weights, x).flatten(1))


class Counting(nn.Module):
    """Answers differently each time."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 4)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += 1
        return self.layer(x) * self.seen


def next_tokens(prediction, target):
    return F.cross_entropy(prediction.reshape(-1, TOKENS), target.flatten())


def alike(features, labels):
    return F.mse_loss(features @ features.T, (labels[:, None] == labels).float())


def log_then_nll(probabilities, labels):
    return F.nll_loss((probabilities + 1e-9).log(), labels)


def norm(**options):
    return nn.Sequential(nn.Linear(8, 12), nn.BatchNorm1d(12, **options), nn.ReLU(), nn.Linear(12, 4))


@pytest.mark.parametrize(
    ("make", "where", "said"),
    [
        (lambda: case(Recurrent(), series()), "layer", "the LSTM takes the first axis of its input [8, 6, 5] for time"),
        (lambda: case(Recurrent(nn.GRU, "view"), series()), "layer", "the GRU gets an input [6, 8, 5]"),
        (
            lambda: case(Recurrent(how="states as they lie", batch_first=True, bidirectional=True), series()),
            "head",
            "reshape() from [2, 8, 8] to [8, 16] puts numbers of several items into one row",
        ),
        (lambda: case(Attending(batch_first=False), series()), "layer", "the attention takes the first axis"),
        (
            lambda: case(Function(lambda x: x.softmax(0)), blobs(64), log_then_nll),
            "model",
            "softmax works along the batch",
        ),
        (
            lambda: case(nn.Sequential(mlp(), nn.LogSoftmax(dim=-2)), blobs(64), nn.NLLLoss()),
            "1",
            "log_softmax works along the batch",
        ),
    ],
    ids=["batch_first missing", "view", "states as they lie", "attention", "softmax over the batch", "log_softmax"],
)
def test_items_that_are_mixed_by_mistake_are_an_error(watched, make, where, said):
    torch.manual_seed(0)
    finding = watched(make()).check("batch_dependency")
    assert finding.severity == "error", finding.message
    assert said in finding.message
    assert finding.where == where
    assert finding.basis == "structure"


@pytest.mark.parametrize(
    "make",
    [
        lambda: case(mlp(), blobs(64)),
        lambda: case(norm(), blobs(64)),
        lambda: case(Recurrent(how="transposed"), series()),
        lambda: case(Recurrent(batch_first=True), series()),
        lambda: case(Recurrent(how="states side by side", batch_first=True, bidirectional=True), series()),
        lambda: case(Attending(batch_first=True), series()),
        lambda: case(mlp(), blobs(64), alike),
        lambda: case(Function(lambda x: x.softmax(1)), blobs(64), log_then_nll),
        lambda: case(Language(), text(), next_tokens),
        lambda: case(Language(flat=True), text(), next_tokens),
        lambda: case(nn.Sequential(nn.Dropout(0.5), mlp()), blobs(64)),
    ],
    ids=[
        "mlp", "batch norm", "transposed", "batch_first", "states side by side", "attention", "a loss that compares",
        "softmax over classes", "language", "flat language", "dropout",
    ],
)  # fmt: skip
def test_items_that_are_apart_pass(watched, make):
    torch.manual_seed(0)
    finding = watched(make()).check("batch_dependency")
    assert finding.severity == "ok", finding.message
    assert finding.message == "Yes: of 8 items in a batch, each changes its own output only."


@pytest.mark.parametrize(
    "make",
    [
        lambda: case(norm(track_running_stats=False), blobs(64)),
        lambda: case(Function(lambda x: x - x.mean(0)), blobs(64)),
        lambda: case(Function(lambda x: torch.softmax(x @ x.T, 1) @ x), blobs(64)),
        lambda: case(Recurrent(), None, nn.MSELoss(), loader=[(torch.randn(8, TIMES, FEATURES), torch.randn(8, 4))] * 4),
    ],
    ids=["batch statistics", "means of the batch", "attention among rows", "batches whose first axis may be time"],
)  # fmt: skip
def test_what_may_be_meant_is_only_mentioned(watched, make):
    torch.manual_seed(0)
    finding = watched(make()).check("batch_dependency")
    assert finding.severity == "info", finding.message
    assert "That may be meant" in finding.message


@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
@pytest.mark.parametrize("function", [F.softmax, F.softmin, lambda x: F.log_softmax(x).exp(), nn.Softmax()])
def test_an_axis_that_torch_chooses_is_an_error_where_it_is_the_batch(watched, function):
    torch.manual_seed(0)
    finding = watched(case(Pooling(function), series())).check("batch_dependency")
    assert finding.severity == "error", finding.message
    assert "was not told its axis; of an input [8, 6, 2] it takes axis 0, which is the batch" in finding.message
    assert "Name the axis" in finding.remedy.text


@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
@pytest.mark.parametrize(
    "model",
    [
        Pooling(F.softmax, dim=1),
        Pooling(F.softmax, dim=-2),
        Function(F.softmax),
        Pooling(lambda x: F.softmax(x.flatten(1)).view(x.shape)),
        Pooling(lambda x: F.softmax(x.transpose(0, 1)).transpose(0, 1)),
    ],
    ids=["named", "named from the end", "two axes", "flat", "time first"],
)
def test_an_axis_that_torch_chooses_passes_where_it_is_another_one(watched, model):
    torch.manual_seed(0)
    finding = watched(case(model, series() if isinstance(model, Pooling) else blobs(64))).check("batch_dependency")
    assert finding.severity == "ok", finding.message


def test_attention_among_sequences_of_a_shuffled_batch_is_a_warning(watched):
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(FEATURES, CLASSES)

        def forward(self, x):
            x = x.transpose(0, 1)
            return self.head((torch.softmax(x @ x.transpose(1, 2), -1) @ x).mean(0))

    finding = watched(case(Wrong(), series())).check("batch_dependency")
    assert finding.severity == "warning", finding.message


def test_a_network_that_sees_what_it_is_to_predict_is_an_error(watched):
    for flat in (False, True):
        finding = watched(case(Language(causal=False, flat=flat), text(), next_tokens)).check("batch_dependency")
        assert finding.severity == "error"
        assert "is to predict the next value and can see it" in finding.message
        assert "causal mask" in finding.remedy.text


def half_masked(prediction, target):
    """Only the second half of a sequence is asked for."""
    asked = target.clone()
    asked[:, : target.shape[1] // 2] = -100
    return F.cross_entropy(prediction.reshape(-1, TOKENS), asked.flatten())


def second_half(prediction, target):
    """The others are cut off before the loss."""
    half = target.shape[1] // 2
    return F.cross_entropy(prediction[:, half:].reshape(-1, TOKENS), target[:, half:].flatten())


class Prefix(Language):
    """Sees the first half as a whole, and what comes behind it step by step."""

    def __init__(self):
        super().__init__()
        self.whole = nn.Linear(8, 8)

    def forward(self, x):
        half = x.shape[1] // 2
        prefix = self.whole(self.embedding(x[:, :half]).mean(1, keepdim=True))
        return self.head(self.layer(self.embedding(x) + prefix)[0])


@pytest.mark.parametrize("loss", [half_masked, second_half])
def test_what_is_seen_of_targets_that_count_is_an_error_where_others_do_not(watched, loss):
    finding = watched(case(Language(causal=False), text(), loss)).check("batch_dependency")
    assert finding.severity == "error", finding.message


@pytest.mark.parametrize("loss", [half_masked, second_half])
@pytest.mark.parametrize("model", [Language, Prefix])
def test_a_beginning_that_is_seen_as_a_whole_is_fine_where_it_is_not_asked_for(watched, model, loss):
    finding = watched(case(model(), text(), loss)).check("batch_dependency")
    assert finding.severity == "ok", finding.message


def test_a_last_layer_that_begins_with_zeros_hides_nothing(watched):
    broken = case(Recurrent(), series())
    nn.init.zeros_(broken.model.head.weight)
    finding = watched(broken, lambda c: c.run(2)).check("batch_dependency")
    assert finding.severity == "error"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: case(mlp(), blobs(64), loader=DataLoader(blobs(64), batch_size=1)), "one item has no neighbours"),
        (lambda: case(Counting(), blobs(64)), "remembers earlier batches"),
        (
            lambda: case(Function(lambda x: x @ x.T), blobs(64), lambda p, t: p.square().mean()),
            "a number for each pair of items",
        ),
        (lambda: case(Function(lambda x: x / 0), blobs(64)), "returns NaN or Inf"),
    ],
    ids=["one item", "memory", "pairs", "nan"],
)
def test_what_it_cannot_tell_is_said(watched, make, reason):
    torch.manual_seed(0)
    finding = watched(make()).check("batch_dependency")
    assert finding.severity == "skipped"
    assert reason in finding.message


def test_parts_that_are_called_without_the_model_around_them():
    training = case(mlp(), blobs())

    def step(model, batch):
        x, y = batch
        for layer in model:
            x = layer(x)
        return F.cross_entropy(x, y)

    with nni.watch(
        training.model, training.optimizer, train_loader=training.train_loader, step=step, show=False
    ) as inspector:
        finding = inspector.check("batch_dependency")
    assert "failed itself" not in finding.message, finding.message
