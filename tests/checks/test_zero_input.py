import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.trainings import CLASSES, FEATURES, Case, assert_equal, blobs, classifier, mlp, state_of


def case(model, data=None, rate=0.02):
    loader = DataLoader(data or blobs(), batch_size=16, shuffle=True)
    return Case(model, torch.optim.Adam(model.parameters(), lr=rate), nn.CrossEntropyLoss(), loader)


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
    finding = watched(case(model()), lambda c: c.run(3)).check("zero_input")
    assert finding.severity == "error", finding.message
    assert finding.basis == "experiment"
    assert "swap their inputs" in finding.message
    assert "forward()" in finding.remedy.text
    assert finding.where == "model.forward"


def test_a_softmax_over_one_unit_is_another_matter(watched):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 1), nn.Softmax(dim=1))
    data = TensorDataset(blobs().tensors[0], torch.ones(96, 1))
    made = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.BCELoss(), DataLoader(data, batch_size=16))
    assert watched(made, lambda c: c.run(1)).check("zero_input").severity == "ok"


@pytest.mark.parametrize("make", [mlp, gated, Recurrent, normalized, lambda: nn.Linear(FEATURES, CLASSES)])
def test_an_input_that_is_used_passes(watched, make):
    torch.manual_seed(0)
    finding = watched(case(make()), lambda c: c.run(2)).check("zero_input")
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
    finding = watched(case(mlp()), lambda c: c.run(10)).check("zero_input")
    assert finding.severity == "ok"
    assert "of what the inputs can tell was learned" in finding.message


def test_first_weights_of_zero_are_not_taken_for_an_input_that_is_not_used(watched):
    model = mlp()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    inspector = watched(case(model), lambda c: c.run(12))
    assert inspector.check("zero_input").severity == "info"
    assert inspector.check("symmetry").severity == "error"


def test_dead_units_are_told_from_an_input_that_is_not_used(watched):
    finding = watched(case(dead(), rate=1e-4), lambda c: c.run(2)).check("zero_input")
    assert finding.severity == "info"
    assert "all units of a layer are dead" in finding.message


class Masked(nn.Module):
    """Attention over tokens with a padding mask, and perhaps a token of its own in front."""

    def __init__(self, mask, *, in_front=False):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.last = nn.Embedding(12, 8), nn.Linear(8, CLASSES)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.mask, self.in_front = mask, in_front

    def forward(self, tokens):
        x, mask = self.embedding(tokens), self.mask(tokens)
        if self.in_front:
            x = torch.cat([x[:, :1] * 0, x], 1)
            mask = torch.cat([torch.zeros_like(mask[:, :1]), mask], 1)
        return self.last(self.encoder(x, src_key_padding_mask=mask)[:, 0])


def padded():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 12, (96, 6), generator=generator)
    tokens[torch.arange(6) >= torch.randint(3, 6, (96, 1), generator=generator)] = 0
    return TensorDataset(tokens, tokens[:, 0] % CLASSES)


@pytest.mark.parametrize("in_front", [False, True])
def test_a_padding_mask_the_wrong_way_round_is_an_error(watched, in_front):
    model = Masked(lambda tokens: tokens != 0, in_front=in_front)
    finding = watched(case(model, padded()), lambda c: c.run(2)).check("zero_input")
    assert finding.severity == "error", finding.message
    assert "all that it may look at hold the same token, 0" in finding.message
    assert "mask = tokens == padding" in finding.remedy.code
    assert finding.basis == "structure"


class MaskedByHand(nn.Module):
    """Attention of one's own, from a first token of its own or from all positions to all."""

    def __init__(self, how, left_out):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.qkv, self.last = nn.Embedding(12, 8), nn.Linear(8, 24), nn.Linear(8, CLASSES)
        self.how, self.left_out = how, left_out

    def forward(self, tokens):
        q, k, v = self.qkv(self.embedding(tokens)).chunk(3, -1)
        left_out = self.left_out(tokens)
        if self.how == "torch":
            y = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], attn_mask=~left_out[:, None, None])[
                :, 0
            ]
        elif self.how == "pooling":
            scores = q.mean(-1).masked_fill(left_out, -1e9)
            y = (scores.softmax(1)[..., None] * v).sum(1, keepdim=True)
        else:
            scores = (q @ k.mT).masked_fill(left_out[:, None], -1e9)
            y = scores.softmax(-1) @ v
        return self.last(y[:, 0])


@pytest.mark.parametrize("how", ["torch", "pooling", "all"])
def test_a_mask_of_ones_own_attention_is_held_against_the_tokens_too(watched, how):
    data = padded()
    data.tensors[0][:, -1] = 0
    finding = watched(case(MaskedByHand(how, lambda tokens: tokens != 0), data), lambda c: c.run(2)).check("zero_input")
    assert finding.severity == "error", finding.message
    assert finding.message.endswith("hold the same token, 0.")
    assert "masked_fill" in finding.remedy.code
    finding = watched(case(MaskedByHand(how, lambda tokens: tokens == 0), data), lambda c: c.run(2)).check("zero_input")
    assert finding.severity == "ok", finding.message


def test_items_whose_positions_are_all_left_out_say_nothing_of_the_others(watched):
    """With a number instead of -inf all their weights are equal."""
    data = padded()
    data.tensors[0][:, -1] = 0
    data.tensors[0][::3] = 5
    finding = watched(case(MaskedByHand("all", lambda tokens: tokens != 0), data), lambda c: c.run(2)).check(
        "zero_input"
    )
    assert finding.severity == "error", finding.message


@pytest.mark.parametrize(
    "mask",
    [lambda tokens: tokens == 0, lambda tokens: torch.zeros_like(tokens, dtype=torch.bool), lambda tokens: None],
    ids=["right", "empty", "none"],
)
def test_other_padding_masks_pass(watched, mask):
    finding = watched(case(Masked(mask), padded()), lambda c: c.run(2)).check("zero_input")
    assert finding.severity == "ok", finding.message


def texts(unknown):
    """Five words of twenty and padding; so large a share is not known."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(2, 20, (96, 8), generator=generator)
    labels = tokens[:, 0] % CLASSES
    tokens[torch.rand(96, 8, generator=generator) < unknown] = 1
    tokens[:, 6:] = 0
    return TensorDataset(tokens, labels)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.last = nn.Embedding(20, 8, padding_idx=0), nn.Linear(8, CLASSES)

    def forward(self, tokens):
        return self.last(self.embedding(tokens).mean(1))


def test_texts_of_words_that_are_not_known_are_an_error(watched):
    finding = watched(case(Words(), texts(0.95)), lambda c: c.run(3)).check("zero_input")
    assert finding.severity == "error", finding.message
    assert "of the tokens are the same one, 1, of 20 that there could be" in finding.message
    assert 0.9 < finding.evidence["share"] < 1


def test_a_vocabulary_of_another_form_than_the_texts_is_a_warning(watched):
    """Names that it holds with a capital are looked up without: half of it never occurs."""
    data = texts(0.0)
    tokens = data.tensors[0]
    tokens[:, :3][tokens[:, :3] > 8] = 1
    tokens[:, 3:6][tokens[:, 3:6] > 8] -= 10
    tokens[:, 3:6].clamp_(min=2)
    finding = watched(case(Words(), data), lambda c: c.run(3)).check("zero_input")
    assert finding.severity == "warning", finding.message
    assert "of those never occur" in finding.message
    assert "in another form" in finding.message


@pytest.mark.parametrize("unknown", [0.0, 0.5])
def test_texts_with_some_words_that_are_not_known_pass(watched, unknown):
    finding = watched(case(Words(), texts(unknown)), lambda c: c.run(3)).check("zero_input")
    assert finding.severity == "ok", finding.message


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
    assert watched(case(Overwritten())).check("zero_input").severity == "info"
    assert watched(case(gated())).check("zero_input").severity == "info"


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (torch.zeros(FEATURES), "the number 0 everywhere"),
        (torch.arange(float(FEATURES)), "the same numbers, from 0 to 7"),
    ],
)
def test_items_that_are_all_alike_are_an_error(watched, item, says):
    data = TensorDataset(item.expand(64, -1), torch.arange(64) % CLASSES)
    finding = watched(case(mlp(), data), lambda c: c.run(1)).check("zero_input")
    assert finding.severity == "error", finding.message
    assert says in finding.message
    assert "not image // 255" in finding.remedy.code
    assert finding.where == "train_loader"


@pytest.mark.parametrize(("labels", "epochs"), [(torch.arange(64) % CLASSES, 0), (torch.zeros(64).long(), 3)])
def test_items_that_are_all_alike_say_nothing_where_nothing_was_to_be_learned(watched, labels, epochs):
    data = TensorDataset(torch.ones(64, FEATURES), labels)
    finding = watched(case(mlp(), data), lambda c: c.run(epochs)).check("zero_input")
    assert finding.severity == "skipped"
    assert "the same input" in finding.message


def reads(loop_body, epochs=12):
    """Watch a classifier whose loop is one of those below."""
    made = case(mlp(), rate=1e-3)
    loop = loop_body(made.model, made.optimizer, made.loss_fn, made.train_loader, epochs)
    with nni.watch(
        made.model, made.optimizer, made.loss_fn, train_loader=made.train_loader, loop=loop, show=False
    ) as one:
        loop()
        return one.check("zero_input", seconds=300.0)


def noise_alone(model, optimizer, loss_fn, loader, epochs):
    def train():
        for _ in range(epochs):
            for x, y in loader:
                noise = 0.1 * torch.randn_like(x)
                loss = loss_fn(model(noise), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return train


def noise_in_two_lines(model, optimizer, loss_fn, loader, epochs):
    def train():
        for _ in range(epochs):
            for x, y in loader:
                z = torch.randn(x.size(0), x.shape[1], device=x.device)
                z = z * 2
                loss = loss_fn(model(z), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return train


def noise_added(model, optimizer, loss_fn, loader, epochs):
    def train():
        for _ in range(epochs):
            for x, y in loader:
                noise = 0.1 * torch.randn_like(x)
                noisy = x + noise
                loss = loss_fn(model(noisy), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return train


def mixed(model, optimizer, loss_fn, loader, epochs):
    def train():
        for _ in range(epochs):
            for x, y in loader:
                keep = torch.rand_like(x) > 0.1
                kept = x * keep
                loss = loss_fn(model(kept), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return train


@pytest.mark.parametrize(("body", "name"), [(noise_alone, "noise"), (noise_in_two_lines, "z")])
def test_a_loop_that_gives_random_numbers_to_the_network(body, name):
    finding = reads(body)
    assert finding.severity == "error", finding.message
    assert f"the loop gives {name} to the network" in finding.message
    assert "random numbers" in finding.message
    assert f"model({name})" in finding.where
    assert "the inputs of the batch" in finding.remedy.text


@pytest.mark.parametrize("body", [noise_added, mixed])
def test_a_loop_that_adds_random_numbers_passes(body):
    assert reads(body).severity == "ok"


def test_nothing_is_said_without_time_or_a_loss(watched, untrained):
    assert watched(classifier()).check("zero_input", seconds=0).severity == "skipped"
    assert untrained(mlp(), None, blobs()).check("zero_input").severity == "skipped"


def test_the_training_is_left_as_it_was(watched):
    made = case(Overwritten())
    inspector = watched(made, lambda c: c.run(2))
    before = state_of(made)
    inspector.check("zero_input")
    assert_equal(before, state_of(made))
    assert not made.model._forward_hooks or all("nn_inspector" in str(h) for h in made.model._forward_hooks.values())
