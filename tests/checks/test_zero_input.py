import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, classifier, classifier_of, mlp, state_of


class Overwritten(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.state, self.decoder = nn.Linear(FEATURES, 8), nn.Parameter(torch.randn(8)), mlp()

    def forward(self, x):
        h = self.encoder(x)
        h = self.state.expand(len(x), -1)
        return self.decoder(h)


class Tokens(nn.Module):
    """Shares between 0 and 1 become the token 0, all of them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.last = nn.Embedding(20, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.last(self.embedding(x.abs().clamp(max=0.9).long()).mean(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.last = nn.GRU(1, 8, batch_first=True), nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.last(self.layer(x.unsqueeze(2))[0][:, -1])


def dead():
    model = mlp()
    nn.init.constant_(model[0].bias, -50.0)
    return model


def normalized():
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(FEATURES, CLASSES)))


def gated():
    model = mlp()
    nn.init.zeros_(model[2].weight)
    return model


@pytest.mark.parametrize("model", [Overwritten, Tokens])
def test_an_input_that_is_not_used_is_an_error(watched, model):
    finding = watched(classifier_of(model()), lambda c: c.run(3)).check("zero_input")
    assert finding.severity == "error", finding.message
    assert finding.basis == "experiment"
    assert "swap their inputs" in finding.message
    assert "forward()" in finding.remedy.text
    assert finding.where == "model.forward"


class LastPlace(nn.Module):
    """An LSTM over words of which the rest, up to a fixed length, is padding."""

    def __init__(self, places, *, real=False):
        super().__init__()
        torch.manual_seed(0)
        self.places, self.real = places, real
        self.embedding, self.layer = nn.Embedding(20, 8, padding_idx=0), nn.LSTM(8, 8, batch_first=True)
        self.last = nn.Linear(8, CLASSES)

    def forward(self, tokens):
        lengths = (tokens > 0).sum(1)
        outputs, _ = self.layer(self.embedding(tokens))
        return self.last(outputs[torch.arange(len(tokens)), lengths - 1] if self.real else outputs[:, -1])


def padded_texts(places):
    """Texts of two to eight words; the first of them tells the class."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, CLASSES, (96,), generator=generator)
    tokens = torch.zeros(96, places, dtype=torch.long)
    for row, label in enumerate(labels):
        length = int(torch.randint(2, 9, (), generator=generator))
        tokens[row, :length] = torch.randint(10, 20, (length,), generator=generator)
        tokens[row, 0] = 1 + label
    return TensorDataset(tokens, labels)


def reads_last_place(places, **options):
    model = LastPlace(places, **options)
    loader = DataLoader(padded_texts(places), 16, shuffle=True)
    return Case(model, torch.optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss(), loader)


def test_what_is_read_behind_a_long_padding_is_an_error_that_says_so(watched):
    finding = watched(reads_last_place(120), lambda c: c.run(4)).check("zero_input")
    assert finding.severity == "error", finding.message
    assert "the same 112 of 120 places" in finding.message
    assert "lengths - 1" in finding.remedy.code
    assert finding.evidence == {"length": 120.0, "padding": 112.0}


@pytest.mark.parametrize(("places", "real"), [(120, True), (8, False), (12, False)], ids=["last word", "none", "short"])
def test_padding_that_does_no_harm_passes(watched, places, real):
    finding = watched(reads_last_place(places, real=real), lambda c: c.run(4)).check("zero_input")
    assert finding.severity == "ok", finding.message


def test_a_softmax_over_one_unit_is_another_matter(watched):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 1), nn.Softmax(dim=1))
    data = TensorDataset(blobs().tensors[0], torch.ones(96, 1))
    made = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.BCELoss(), DataLoader(data, batch_size=16))
    assert watched(made, lambda c: c.run(1)).check("zero_input").severity == "ok"


@pytest.mark.parametrize("make", [mlp, gated, Recurrent, normalized, lambda: nn.Linear(FEATURES, CLASSES)])
def test_an_input_that_is_used_passes(watched, make):
    torch.manual_seed(0)
    finding = watched(classifier_of(make()), lambda c: c.run(2)).check("zero_input")
    assert finding.severity == "ok", finding.message


class OfPhases(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(FEATURES, 8, dtype=torch.complex64)
        self.last = nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.last(self.first(x).abs())


def test_complex_inputs_are_no_tokens(watched):
    torch.manual_seed(0)
    inputs, labels = blobs().tensors
    data = TensorDataset(torch.complex(inputs, inputs.flip(1)), labels)
    model = OfPhases()
    made = Case(
        model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), DataLoader(data, batch_size=16)
    )
    finding = watched(made, lambda c: c.run(2)).check("zero_input")
    assert finding.severity == "ok", finding.message


class OfBag(nn.Module):
    """One answer for all rows together, in whatever order they come."""

    def __init__(self):
        super().__init__()
        self.first, self.weigh, self.last = nn.Linear(FEATURES, 8), nn.Linear(8, 1), nn.Linear(8, 1)

    def forward(self, x):
        h = self.first(x).relu()
        return self.last((self.weigh(h).softmax(0) * h).sum(0))


def test_rows_of_one_bag_may_come_in_any_order(watched):
    torch.manual_seed(0)
    bags = [(torch.randn(5, FEATURES), torch.tensor([float(number % 2)])) for number in range(60)]
    model = OfBag()
    loader = DataLoader(bags, batch_size=1, collate_fn=lambda batch: batch[0])
    made = Case(model, torch.optim.SGD(model.parameters(), lr=0.01), nn.BCEWithLogitsLoss(), loader)
    finding = watched(made, lambda c: c.run(2)).check("zero_input")
    assert finding.severity == "skipped", finding.message
    assert "fewer answers than it is given rows" in finding.message


class OfPairs(nn.Module):
    """Takes tokens and their lengths as one argument."""

    def __init__(self, *, packed):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.layer = nn.Embedding(20, 8), nn.GRU(8, 8, batch_first=True)
        self.last, self.packed = nn.Linear(8, CLASSES), packed

    def forward(self, inputs):
        if not self.packed:
            inputs = nn.utils.rnn.pack_padded_sequence(inputs[0], inputs[1], batch_first=True, enforce_sorted=False)
        return self.last(self.layer(inputs._replace(data=self.embedding(inputs.data)))[1][-1])


@pytest.mark.parametrize("packed", [False, True], ids=["in a tuple", "packed"])
def test_inputs_within_others_are_swapped_as_well_or_nothing_is_said(watched, packed):
    tokens, lengths = torch.randint(0, 20, (64, 7)), torch.randint(2, 8, (64,))
    whole = nn.utils.rnn.pack_padded_sequence(tokens, lengths, batch_first=True, enforce_sorted=False)
    batches = [(whole if packed else (tokens, lengths), tokens[:, 0] % CLASSES)]
    model = OfPairs(packed=packed)
    used = Case(model, torch.optim.Adam(model.parameters(), lr=0.01), nn.CrossEntropyLoss(), batches)
    finding = watched(used, lambda c: c.run(5)).check("zero_input")
    assert finding.severity == ("skipped" if packed else "ok"), finding.message


def test_what_has_learned_from_its_inputs_uses_them(watched, monkeypatch):
    monkeypatch.setattr("nn_inspector.checks.fit.zero_input._ignored", lambda *args: True)
    finding = watched(classifier_of(mlp()), lambda c: c.run(10)).check("zero_input")
    assert finding.severity == "ok"
    assert "of what the inputs can tell was learned" in finding.message


def test_first_weights_of_zero_are_not_taken_for_an_input_that_is_not_used(watched):
    model = mlp()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    inspector = watched(classifier_of(model), lambda c: c.run(12))
    assert inspector.check("zero_input").severity == "info"
    assert inspector.check("symmetry").severity == "error"


def test_dead_units_are_told_from_an_input_that_is_not_used(watched):
    finding = watched(classifier_of(dead(), lr=1e-4), lambda c: c.run(2)).check("zero_input")
    assert finding.severity == "info"
    assert "all units of a layer are dead" in finding.message


def test_a_last_call_on_something_else_than_the_batch_is_not_taken_for_the_answer(watched):
    """As in physics-informed networks: first the points of the batch, then a boundary."""
    net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))

    def loss_fn(model, points):
        return (model(points) - points.sin()).square().mean() + model(torch.zeros(1, 1)).square().mean()

    loader = DataLoader(TensorDataset(torch.rand(96, 1)), batch_size=16, shuffle=True)
    made = Case(net, torch.optim.Adam(net.parameters(), lr=0.01), loss_fn, loader)

    def loop(c):
        for _ in range(4):
            for (points,) in c.train_loader:
                c.optimizer.zero_grad()
                c.loss_fn(c.model, points).backward()
                c.optimizer.step()

    finding = watched(made, loop).check("zero_input")
    assert finding.severity == "ok", finding.message


def test_before_training_it_is_only_suspected(watched):
    assert watched(classifier_of(Overwritten())).check("zero_input").severity == "info"
    assert watched(classifier_of(gated())).check("zero_input").severity == "info"


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (torch.zeros(FEATURES), "the number 0 everywhere"),
        (torch.arange(float(FEATURES)), "the same numbers, from 0 to 7"),
    ],
)
def test_items_that_are_all_alike_are_an_error(watched, item, says):
    data = TensorDataset(item.expand(64, -1), torch.arange(64) % CLASSES)
    finding = watched(classifier_of(mlp(), data), lambda c: c.run(1)).check("zero_input")
    assert finding.severity == "error", finding.message
    assert says in finding.message
    assert "not image // 255" in finding.remedy.code
    assert finding.where == "train_loader"


class Rate(torch.nn.Module):
    """One number for all: how many items there are is all that it asks."""

    def __init__(self):
        super().__init__()
        self.rate = torch.nn.Parameter(torch.ones(1))

    def forward(self, inputs):
        return self.rate.expand(len(inputs))


def test_items_that_are_all_alike_say_nothing_where_the_network_looks_at_none_of_them(watched):
    made = classifier_of(Rate(), TensorDataset(torch.zeros(64, 1), torch.poisson(torch.full((64,), 4.0))))
    made.loss_fn = torch.nn.PoissonNLLLoss(log_input=False)
    finding = watched(made, lambda c: c.run(2)).check("zero_input")
    assert finding.severity == "skipped"
    assert "the same input" in finding.message


@pytest.mark.parametrize(("labels", "epochs"), [(torch.arange(64) % CLASSES, 0), (torch.zeros(64).long(), 3)])
def test_items_that_are_all_alike_say_nothing_where_nothing_was_to_be_learned(watched, labels, epochs):
    data = TensorDataset(torch.ones(64, FEATURES), labels)
    finding = watched(classifier_of(mlp(), data), lambda c: c.run(epochs)).check("zero_input")
    assert finding.severity == "skipped"
    assert "the same input" in finding.message


class Masked(nn.Module):
    """The mean of what each sequence holds, up to where it ends."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(FEATURES + 1, CLASSES)

    def forward(self, x, ends):
        if ends.dim() == 1:
            ends = torch.arange(x.shape[1]) < ends[:, None]
        ends = ends.float()[..., None]
        return self.head(torch.cat([(x * ends).sum(1) / ends.sum(1), ends.mean(1)], 1))


def collated(fill, *, masks=False):
    """A training on sequences of 3 to 9 times, whose batches are made by `fill(batch, sequences)`."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, CLASSES, (96,), generator=generator)
    lengths = torch.randint(3, 10, (96,), generator=generator).tolist()
    sequences = [
        torch.randn(one, FEATURES, generator=generator) + label for one, label in zip(lengths, labels, strict=True)
    ]

    def collate(items):
        inside = torch.tensor([len(sequence) for sequence, _ in items])
        batch = fill(torch.zeros(len(items), int(inside.max()), FEATURES), [sequence for sequence, _ in items])
        ends = (torch.arange(batch.shape[1]) < inside[:, None]).long() if masks else inside
        return batch, ends, torch.stack([label for _, label in items])

    torch.manual_seed(0)
    model = Masked()
    loader = DataLoader(list(zip(sequences, labels, strict=True)), batch_size=16, shuffle=True, collate_fn=collate)

    def loss(model, batch):
        x, ends, y = batch
        return nn.functional.cross_entropy(model(x, ends), y)

    made = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), loader)
    return made, loss


def trained(watched, made, step, epochs=4):
    def loop(c):
        for _ in range(epochs):
            for batch in c.train_loader:
                c.optimizer.zero_grad()
                step(c.model, batch).backward()
                c.optimizer.step()

    return watched(made, loop, step=step).check("zero_input")


def not_filled(batch, sequences):
    for row, sequence in zip(batch, sequences, strict=True):
        row = sequence  # noqa: F841, PLW2901 - the mistake
    return batch


def filled_elsewhere(batch, sequences):
    for row, sequence in zip(batch.tolist(), sequences, strict=True):
        row[: len(sequence)] = sequence.tolist()
    return batch + 1


def filled(batch, sequences):
    for row, sequence in zip(batch, sequences, strict=True):
        row[: len(sequence)] = sequence
    return batch


def filled_but_for_one(batch, sequences):
    batch[0, : len(sequences[0])] = sequences[0]
    return batch


@pytest.mark.parametrize("masks", [False, True], ids=["lengths", "masks"])
@pytest.mark.parametrize(("fill", "number"), [(not_filled, 0), (filled_elsewhere, 1)])
def test_sequences_that_a_collate_function_does_not_fill_are_an_error(watched, fill, number, masks):
    finding = trained(watched, *collated(fill, masks=masks))
    assert finding.severity == "error", finding.message
    assert f"the number {number} everywhere" in finding.message
    assert "not row = frames" in finding.remedy.code


@pytest.mark.parametrize("masks", [False, True], ids=["lengths", "masks"])
@pytest.mark.parametrize("fill", [filled, filled_but_for_one])
def test_sequences_that_are_filled_pass(watched, fill, masks):
    finding = trained(watched, *collated(fill, masks=masks))
    assert finding.severity == "ok", finding.message


def test_what_is_told_beside_empty_sequences_may_be_content(watched):
    made, _ = collated(not_filled)

    def step(model, batch):
        x, ends, y = batch
        return nn.functional.cross_entropy(model(x, ends + 20 * y), y)

    finding = trained(watched, made, step)
    assert "everywhere" not in finding.message


def test_nothing_is_said_without_time_or_a_loss(watched, untrained):
    assert watched(classifier()).check("zero_input", seconds=0).severity == "skipped"
    assert untrained(mlp(), None, blobs()).check("zero_input").severity == "skipped"


def test_the_training_is_left_as_it_was(watched):
    made = classifier_of(Overwritten())
    inspector = watched(made, lambda c: c.run(2))
    before = state_of(made)
    inspector.check("zero_input")
    assert_equal(before, state_of(made))
    assert not made.model._forward_hooks or all("nn_inspector" in str(h) for h in made.model._forward_hooks.values())
