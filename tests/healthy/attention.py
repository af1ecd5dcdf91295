"""Transformers, attention and bags of words."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from tests.healthy.data import sentences, tweets
from tests.healthy.scores import evaluating
from tests.scene_data import accuracy, digits
from tests.scenes import Scene, healthy


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, max_len=64):
        super().__init__()
        position = torch.arange(max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(1, max_len, d_model)
        pe[0, :, 0::2] = torch.sin(position * div_term)
        pe[0, :, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe)

    def forward(self, x):
        return x + self.pe[:, : x.size(1)]


class TextTransformer(nn.Module):
    def __init__(self, words=100, d_model=32):
        super().__init__()
        self.embedding = nn.Embedding(words, d_model, padding_idx=0)
        self.position = PositionalEncoding(d_model)
        layer = nn.TransformerEncoderLayer(d_model, nhead=4, dim_feedforward=64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        self.fc = nn.Linear(d_model, 2)

    def forward(self, tokens):
        mask = tokens == 0
        h = self.encoder(self.position(self.embedding(tokens)), src_key_padding_mask=mask)
        h = h.masked_fill(mask[..., None], 0).sum(1) / (~mask).sum(1, keepdim=True)
        return self.fc(h)


@healthy("transformer_encoder", kind="attention", learns=0.88)
def transformer_encoder(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = tweets(seed)
    train_loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=100)
    model = TextTransformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()

    def evaluate():
        model.eval()
        correct = 0
        with torch.no_grad():
            for tokens, labels in val_loader:
                correct += (model(tokens).argmax(1) == labels).sum().item()
        return correct / len(val_loader.dataset)

    def train():
        for epoch in range(8):
            model.train()
            for tokens, labels in train_loader:
                optimizer.zero_grad()
                loss = criterion(model(tokens), labels)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
            print(f"epoch {epoch} val acc {evaluate():.3f}")

    return Scene(model, optimizer, criterion, train_loader, train, val_loader, lambda: accuracy(model, x_val, y_val))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        size = x.size(1)
        mask = torch.triu(torch.ones(size, size, dtype=torch.bool), diagonal=1)
        h = self.ln1(x)
        x = x + self.attn(h, h, h, attn_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    """The output layer shares its weights with the embedding."""

    def __init__(self, symbols, width=48, block_size=32):
        super().__init__()
        self.wte = nn.Embedding(symbols, width)
        self.wpe = nn.Embedding(block_size, width)
        self.h = nn.ModuleList([Block(width, 4) for _ in range(2)])
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, symbols, bias=False)
        self.lm_head.weight = self.wte.weight
        for embedding in (self.wte, self.wpe):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, idx, targets=None):
        x = self.wte(idx) + self.wpe(torch.arange(idx.size(1)))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))


@healthy("causal_language_model_with_tied_weights", kind="attention", learns=-1.1)
def causal_language_model_with_tied_weights(seed):
    torch.manual_seed(seed)
    text, vocab_size = sentences(seed, characters=10000)
    train_data, val_data = text[:9000], text[9000:]
    block_size, batch_size, max_iters = 32, 16, 200
    model = GPT(vocab_size)
    decay = [p for p in model.parameters() if p.dim() >= 2]
    no_decay = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": no_decay, "weight_decay": 0.0}], lr=3e-3, betas=(0.9, 0.95)
    )

    def get_batch(data):
        ix = torch.randint(len(data) - block_size - 1, (batch_size,))
        x = torch.stack([data[i : i + block_size] for i in ix])
        y = torch.stack([data[i + 1 : i + 1 + block_size] for i in ix])
        return x, y

    def get_lr(it):
        warmup = 20
        if it < warmup:
            return 3e-3 * (it + 1) / warmup
        return 3e-4 + 0.5 * 2.7e-3 * (1 + math.cos(math.pi * (it - warmup) / (max_iters - warmup)))

    def train():
        for it in range(max_iters):
            lr = get_lr(it)
            for group in optimizer.param_groups:
                group["lr"] = lr
            X, Y = get_batch(train_data)
            _, loss = model(X, Y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if it % 50 == 0:
                print(f"iter {it}: loss {loss.item():.4f}")

    def score():
        with evaluating(model):
            return -torch.stack([model(*get_batch(val_data))[1] for _ in range(10)]).mean().item()

    return Scene(model, optimizer, None, None, train, score=score)


class SetMaximum(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(1, 32)
        self.query = nn.Parameter(torch.randn(1, 1, 32))
        self.attn = nn.MultiheadAttention(32, 4, batch_first=True)
        self.out = nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, items, absent):
        keys = self.embed(items)
        query = self.query.expand(len(items), -1, -1)
        pooled, _ = self.attn(query, keys, keys, key_padding_mask=absent)
        return self.out(pooled[:, 0])


@healthy("attention_with_a_padding_mask", kind="attention", learns=0.75)
def attention_with_a_padding_mask(seed):
    torch.manual_seed(seed)
    items, sizes = torch.randn(1500, 10, 1), torch.randint(3, 11, (1500,))
    absent = torch.arange(10) >= sizes[:, None]
    largest = items[..., 0].masked_fill(absent, -10).max(1, keepdim=True).values
    target = (largest - largest.mean()) / largest.std()
    items = items.masked_fill(absent[..., None], 0)
    train_set = TensorDataset(items[:1200], absent[:1200], target[:1200])
    loader = DataLoader(train_set, batch_size=50, shuffle=True)
    model = SetMaximum()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.MSELoss()

    def train():
        for _epoch in range(15):
            for x, mask, y in loader:
                optimizer.zero_grad()
                loss = criterion(model(x, mask), y)
                loss.backward()
                optimizer.step()

    def score():
        with evaluating(model):
            return 1 - (F.mse_loss(model(items[1200:], absent[1200:]), target[1200:]) / target[1200:].var()).item()

    return Scene(model, optimizer, criterion, loader, train, score=score)


class TextClassificationModel(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_class):
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab_size, embed_dim, sparse=True)
        self.fc = nn.Linear(embed_dim, num_class)
        self.embedding.weight.data.uniform_(-0.5, 0.5)
        self.fc.weight.data.uniform_(-0.5, 0.5)
        self.fc.bias.data.zero_()

    def forward(self, text, offsets):
        return self.fc(self.embedding(text, offsets))


@healthy("embedding_bag_with_sparse_gradients", kind="attention", learns=0.9)
def embedding_bag_with_sparse_gradients(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = tweets(seed)
    rows = [(row[row > 0], label) for row, label in zip(x, y, strict=True)]

    def collate_batch(batch):
        texts, labels = zip(*batch, strict=True)
        offsets = torch.tensor([0] + [len(t) for t in texts]).cumsum(0)[:-1]
        return torch.stack(labels), torch.cat(texts), offsets

    dataloader = DataLoader(rows, batch_size=16, shuffle=True, collate_fn=collate_batch)
    model = TextClassificationModel(100, 32, 2)
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.8)

    def train():
        model.train()
        for epoch in range(12):
            total_acc, total_count = 0, 0
            for label, text, offsets in dataloader:
                optimizer.zero_grad()
                predicted_label = model(text, offsets)
                loss = criterion(predicted_label, label)
                loss.backward()
                optimizer.step()
                total_acc += (predicted_label.argmax(1) == label).sum().item()
                total_count += label.size(0)
            print(f"| epoch {epoch:3d} | accuracy {total_acc / total_count:8.3f}")
            scheduler.step()

    def score():
        labels, texts, offsets = collate_batch([(row[row > 0], label) for row, label in zip(x_val, y_val, strict=True)])
        with evaluating(model):
            return (model(texts, offsets).argmax(1) == labels).float().mean().item()

    return Scene(model, optimizer, criterion, dataloader, train, score=score)


@healthy("bags_of_words", kind="attention", learns=0.85)
def bags_of_words(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = tweets(seed)
    vectorize = lambda tokens: F.one_hot(tokens, 100).amax(1)[:, 1:].float()
    train_loader = DataLoader(TensorDataset(vectorize(x), y), batch_size=32, shuffle=True)
    model = nn.Sequential(nn.Linear(99, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    loss_function = nn.CrossEntropyLoss()

    def train():
        for _epoch in range(15):
            for bow, label in train_loader:
                model.zero_grad()
                loss = loss_function(model(bow), label)
                loss.backward()
                optimizer.step()

    score = lambda: accuracy(model, vectorize(x_val), y_val)
    return Scene(model, optimizer, loss_function, train_loader, train, score=score)


class ViT(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.patch = nn.Conv2d(1, width, 2, stride=2)
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.pos = nn.Parameter(0.02 * torch.randn(1, 17, width))
        self.blocks = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(width, 4, 64, dropout=0.0, activation="gelu", batch_first=True, norm_first=True),
            num_layers=2,
            enable_nested_tensor=False,
        )
        self.head = nn.Linear(width, 10)

    def forward(self, img):
        x = self.patch(img).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos
        return self.head(self.blocks(x)[:, 0])


@healthy("vision_transformer", kind="attention", learns=0.85)
def vision_transformer(seed):
    torch.manual_seed(seed)
    x, y, x_val, y_val = digits(seed)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True, drop_last=True)
    model = ViT()
    epochs = 10
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=3e-3, total_steps=epochs * len(loader), pct_start=0.2
    )

    def train():
        for _ in range(epochs):
            for img, label in loader:
                loss = F.cross_entropy(model(img), label, label_smoothing=0.1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()

    return Scene(model, optimizer, None, loader, train, score=lambda: accuracy(model, x_val, y_val))
