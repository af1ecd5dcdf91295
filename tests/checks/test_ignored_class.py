"""A class of words that the loss leaves out with the padding."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.checks.conftest import with_time
from tests.trainings import blobs, mlp

SENTENCES, VOCABULARY, TAGS = 160, 40, 4
MARK, PAD = 1, 0


def sentences(*, shortest=4, longest=11, mark=False):
    """Words from 2 on; those below 20 mean nothing, the others belong to three kinds."""
    torch.manual_seed(0)
    drawn = [torch.randint(2, VOCABULARY, (int(n),)) for n in torch.randint(shortest, longest, (SENTENCES,))]
    return [torch.cat([torch.tensor([MARK]), one]) for one in drawn] if mark else drawn


def kinds(words):
    """0 for words that mean nothing, 1 to 3 for the others."""
    return torch.where(words < 20, 0, 1 + words % 3)


def padded(words, tags, filled, *, left=False):
    side = "left" if left else "right"
    x = pad_sequence(words, batch_first=True, padding_value=PAD, padding_side=side)
    return TensorDataset(x, pad_sequence(tags, batch_first=True, padding_value=filled, padding_side=side))


class Tagger(nn.Module):
    def __init__(self, classes=TAGS, *, flat=False):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(VOCABULARY, 12), nn.Linear(24, classes)
        self.layer, self.flat = nn.GRU(12, 12, batch_first=True, bidirectional=True), flat

    def forward(self, x):
        scores = self.head(self.layer(self.embedding(x))[0])
        return scores.flatten(0, 1) if self.flat else scores.transpose(1, 2)


def found(data, loss_fn, *, model=None, epochs=3):
    model = model or Tagger()
    loader = DataLoader(data, batch_size=16, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with with_time(nni.watch(model, optimizer, loss_fn, train_loader=loader, show=False)) as inspector:
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                output = model(x)
                loss = loss_fn(output, y.flatten() if output.dim() == 2 else y)
                loss.backward()
                optimizer.step()
        return inspector.check("label_range")


IGNORE_0 = nn.CrossEntropyLoss(ignore_index=0)


@pytest.mark.parametrize("options", [{}, {"left": True}, {"mark": True}, {"flat": True}])
def test_a_class_with_the_number_of_padding_is_a_warning(options):
    words = sentences(mark=options.get("mark", False))
    data = padded(words, [kinds(one) for one in words], 0, left=options.get("left", False))
    finding = found(data, IGNORE_0, model=Tagger(flat=options.get("flat", False)))
    assert finding.severity == "warning", finding.message
    assert "of the labels, padding aside, are 0, and the loss leaves them out" in finding.message
    assert "ignore_index=0" in finding.message
    assert "padding_value=-100" in finding.remedy.code
    assert finding.evidence["left_out"] > 0.3


def test_another_number_than_0_is_seen_too():
    words = sentences()
    data = padded(words, [kinds(one) for one in words], 3)
    finding = found(data, nn.CrossEntropyLoss(ignore_index=3))
    assert finding.severity == "warning", finding.message
    assert "ignore_index=3" in finding.message


def test_a_number_of_its_own_for_padding_passes():
    words = sentences()
    assert found(padded(words, [kinds(one) for one in words], -100), nn.CrossEntropyLoss()).severity == "ok"
    own = padded(words, [kinds(one) + 1 for one in words], 0)
    assert found(own, IGNORE_0, model=Tagger(5)).severity == "ok"


def pieces(*, mark):
    """Words cut into pieces, of which the first one counts; marks in front, and pieces, have the number of padding."""
    torch.manual_seed(0)
    words, tags = [], []
    for one in sentences(longest=8):
        cut = [
            torch.cat([word[None], torch.randint(2, 20, (int(n),))])
            for word, n in zip(one, torch.randint(0, 3, (99,)), strict=False)
        ]
        tag = [torch.cat([1 + kinds(part[:1]), torch.zeros(len(part) - 1, dtype=torch.int64)]) for part in cut]
        words.append(torch.cat([torch.full((int(mark),), MARK), *cut]))
        tags.append(torch.cat([torch.zeros(int(mark), dtype=torch.int64), *tag]))
    return padded(words, tags, 0)  # fmt: skip


@pytest.mark.parametrize("mark", [False, True])
def test_pieces_of_words_that_do_not_count_are_meant(mark):
    assert found(pieces(mark=mark), IGNORE_0, model=Tagger(5)).severity == "ok"


def test_masked_tokens_are_meant():
    """Some words are hidden and asked for; all others have the number of padding."""
    words = sentences()
    hidden = [torch.rand(len(one)) < 0.3 for one in words]
    shown = [torch.where(hide, 1, one) for one, hide in zip(words, hidden, strict=True)]
    asked = [torch.where(hide, one, 0) for one, hide in zip(words, hidden, strict=True)]
    assert found(padded(shown, asked, 0), IGNORE_0, model=Tagger(VOCABULARY)).severity == "ok"


def test_answers_behind_a_question_are_meant():
    """Only the second half of each text counts."""
    words = sentences()
    tags = [torch.where(torch.arange(len(one)) < len(one) // 2, 0, 1 + kinds(one)) for one in words]
    assert found(padded(words, tags, 0), IGNORE_0, model=Tagger(5)).severity == "ok"


def test_texts_of_one_length_are_not_judged():
    words = sentences(shortest=9, longest=10)
    assert found(padded(words, [kinds(one) for one in words], 0), IGNORE_0).severity == "ok"


def test_a_class_that_is_learned_by_other_means_passes():
    """A second loss asks for what the first one leaves out."""

    def both(output, y):
        return IGNORE_0(output, y) + F.cross_entropy(output, y)

    words = sentences()
    assert found(padded(words, [kinds(one) for one in words], 0), both).severity == "ok"


def test_images_with_parts_that_have_no_label_are_not_judged():
    images = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = (images[:, 0] > 0).long() + (images[:, 0] > 1).long()
    model = nn.Conv2d(1, 3, 3, padding=1)
    loader = DataLoader(TensorDataset(images, labels), batch_size=16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with with_time(nni.watch(model, optimizer, IGNORE_0, train_loader=loader, show=False)) as inspector:
        for x, y in loader:
            optimizer.zero_grad()
            IGNORE_0(model(x), y).backward()
            optimizer.step()
        assert inspector.check("label_range").severity == "ok"


def items_with_a_class_left_out(validation_labels):
    """Items of four classes, of which the loss leaves out class 0."""
    torch.manual_seed(0)
    data = blobs(400)
    val = TensorDataset(blobs(200, seed=1).tensors[0], validation_labels(blobs(200, seed=1).tensors[1]))
    model, loss_fn = mlp(), nn.CrossEntropyLoss(ignore_index=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    loader, val_loader = DataLoader(data, batch_size=20, shuffle=True), DataLoader(val, batch_size=50)
    with with_time(
        nni.watch(model, optimizer, loss_fn, train_loader=loader, val_loader=val_loader, show=False)
    ) as inspector:
        for _ in range(6):
            for x, y in loader:
                optimizer.zero_grad()
                loss_fn(model(x), y).backward()
                optimizer.step()
        return inspector.check("label_range")


def test_a_class_of_items_that_the_loss_leaves_out_is_a_warning():
    finding = items_with_a_class_left_out(lambda labels: labels)
    assert finding.severity == "warning", finding.message
    assert "of the labels are 0, and the loss leaves them out" in finding.message
    assert "Leave ignore_index out" in finding.remedy.text


def test_items_without_a_label_that_validation_does_not_have_are_meant():
    finding = items_with_a_class_left_out(lambda labels: labels.clamp(min=1))
    assert not finding.raised, finding.message


def test_padding_of_flattened_sequences_is_no_class_of_items():
    """Where the validation data are padded likewise."""
    words = sentences()
    data = padded(words, [one.flip(0) % TAGS + 1 for one in words], PAD)
    model, loss_fn = Tagger(TAGS + 1, flat=True), nn.CrossEntropyLoss(ignore_index=PAD)
    loader = DataLoader(data, batch_size=16, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with with_time(
        nni.watch(
            model,
            optimizer,
            train_loader=loader,
            val_loader=DataLoader(data, batch_size=80),
            step=lambda model, batch: loss_fn(model(batch[0]), batch[1].flatten()),
            show=False,
        )
    ) as inspector:
        for _ in range(3):
            for x, y in loader:
                optimizer.zero_grad()
                loss_fn(model(x), y.flatten()).backward()
                optimizer.step()
        finding = inspector.check("label_range")
    assert not finding.raised, finding.message
