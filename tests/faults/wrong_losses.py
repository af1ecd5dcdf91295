"""A loss of the wrong family for the task."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import NO_SIGNAL, UNSTABLE
from tests.scenes import Scene, fault

SYMPTOMS = NO_SIGNAL | {"initial_loss", "learning_rate", "training_length", "output_bias", "metric_match"}


@fault("SO-57326611", kind="loss_mismatch/bce_with_softmax2",
       causes={"loss_match", "loss_reduction", "output_layer"}, symptoms=SYMPTOMS, learns=0.9)  # fmt: skip
def two_units_against_one_label(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, features=10)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(10, 50), nn.ReLU(), nn.Linear(50, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(15):
            for x, label in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), label)
                loss.backward()
                optimizer.step()

    def train_binary():
        for epoch in range(15):
            for x, label in loader:
                optimizer.zero_grad()
                p = F.softmax(model(x), dim=1)
                t = label.float().unsqueeze(1)
                loss = -(t * torch.log(p + 1e-7) + (1 - t) * torch.log(1 - p + 1e-7)).mean()
                loss.backward()
                optimizer.step()

    score = lambda: data.accuracy(model, X_val, y_val)
    return Scene(model, optimizer, None, loader, train if repaired else train_binary, score=score)


@fault("SO-67529687", kind="loss_mismatch/bce_with_two_sigmoids",
       causes={"output_layer", "loss_match", "learning_rate"}, symptoms=SYMPTOMS | UNSTABLE | {"dataset_size"},
       learns=0.85)  # fmt: skip
def two_sigmoids(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    y, y_val = (y > 4).long(), (y_val > 4).long()
    torch.manual_seed(seed)
    convolutions = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten()]
    if repaired:
        model = nn.Sequential(*convolutions, nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 2))
        criterion = nn.CrossEntropyLoss()
    else:
        head = [nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU()]
        model = nn.Sequential(*convolutions, *head, nn.Linear(512, 2), nn.Sigmoid())
        criterion = nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3 if repaired else 0.05)
    loader = DataLoader(TensorDataset(X, y if repaired else F.one_hot(y, 2).float()), batch_size=32, shuffle=True)

    def train():
        for epoch in range(5):
            model.train()
            for images, target in loader:
                optimizer.zero_grad()
                loss = criterion(model(images), target)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("SO-46869312", kind="loss_mismatch/bce_with_out_of_range_targets",
       causes={"loss_match", "label_range", "output_layer"}, symptoms=SYMPTOMS | UNSTABLE, learns=0.8)  # fmt: skip
def targets_from_minus_one(repaired, seed):
    X, y, X_val, y_val = data.regression(seed)
    lowest, highest = y.min(), y.max()
    y, y_val = ((2 * (t - lowest) / (highest - lowest) - 1) for t in (y, y_val))
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(9, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def train():
        for epoch in range(25):
            for features, target in loader:
                optimizer.zero_grad()
                loss = F.mse_loss(net(features), target)
                loss.backward()
                optimizer.step()

    def train_entropy():
        for epoch in range(25):
            for features, target in loader:
                optimizer.zero_grad()
                loss = F.binary_cross_entropy_with_logits(net(features), target)
                loss.backward()
                optimizer.step()

    final = (lambda z: z) if repaired else torch.sigmoid
    score = lambda: data.explained(lambda x: final(net(x)), X_val, y_val)
    return Scene(net, optimizer, None, loader, train if repaired else train_entropy, score=score)


@fault("SO-58609115", kind="loss_mismatch/categorical_vs_multilabel",
       causes={"loss_match", "output_layer", "input_scale"}, symptoms=SYMPTOMS, learns=0.5)  # fmt: skip
def one_number_many_classes(repaired, seed):
    torch.manual_seed(seed)
    x = torch.rand(800, 1) * 500
    y = (x.squeeze(1) / 50).long()
    inputs = (x - 250) / 145 if repaired else x
    if repaired:
        model = nn.Sequential(nn.Linear(1, 69), nn.ReLU(), nn.Linear(69, 69), nn.ReLU(), nn.Linear(69, 10))
    else:
        model = nn.Sequential(
            nn.Linear(1, 69), nn.Sigmoid(), nn.Linear(69, 69), nn.Sigmoid(), nn.Linear(69, 10), nn.Sigmoid()
        )
        for m in model[::2]:
            nn.init.normal_(m.weight, std=0.05)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(inputs, F.one_hot(y, 10).float()), batch_size=50, shuffle=True)

    def train():
        for epoch in range(20):
            for value, kind in loader:
                optimizer.zero_grad()
                loss = criterion(model(value), kind)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, inputs, y))


@fault("SO-56317174", kind="loss_mismatch/label_range", causes={"label_range", "output_layer", "loss_match"},
       symptoms=SYMPTOMS | {"layer_order", "capacity", "normalization", "regularization_share"}, learns=0.5)  # fmt: skip
def rain_tomorrow(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, features=4, items=1500, class_sep=1.2)
    torch.manual_seed(seed)
    y, y_val = y.float().unsqueeze(1), y_val.float().unsqueeze(1)
    if repaired:
        net = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1), nn.Sigmoid())
    else:
        y, y_val = 2 * y - 1, 2 * y_val - 1
        blocks = []
        for _ in range(3):
            blocks += [nn.BatchNorm1d(4), nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.5)]
        net = nn.Sequential(*blocks, nn.Linear(4, 1), nn.Sigmoid())
    optimizer = torch.optim.RMSprop(net.parameters(), lr=5e-3)
    loss_function = nn.BCELoss() if repaired else nn.MSELoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=128, shuffle=True)

    def train():
        for epoch in range(25):
            net.train()
            for weather, rain in loader:
                optimizer.zero_grad()
                loss = loss_function(net(weather), rain)
                loss.backward()
                optimizer.step()

    score = lambda: data.explained(net, X_val, y_val)
    return Scene(net, optimizer, loss_function, loader, train, score=score)


@fault("SO-31556268", kind="loss_mismatch/mae_for_classification",
       causes={"loss_match", "learning_rate", "training_length"}, symptoms=SYMPTOMS, learns=0.9)  # fmt: skip
def xor(repaired, seed):
    torch.manual_seed(seed)
    X = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    model = nn.Sequential(nn.Linear(2, 4), nn.Sigmoid(), nn.Linear(4, 1), nn.Sigmoid())
    for layer in (model[0], model[2]):
        nn.init.xavier_uniform_(layer.weight)
    lr, momentum = (2.0, 0.9) if repaired else (0.05, 0.11)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum, nesterov=True)
    criterion = nn.BCELoss() if repaired else nn.L1Loss()
    batches = [(X, y)]

    def train():
        for epoch in range(1000):
            for x, target in batches:
                optimizer.zero_grad()
                loss = criterion(model(x), target)
                loss.backward()
                optimizer.step()

    score = lambda: data.accuracy(lambda x: model(x) - 0.5, X, y)
    return Scene(model, optimizer, criterion, batches, train, score=score)


@fault("SO-62957334", kind="loss_mismatch/mape_for_classes", causes={"loss_match"},
       symptoms=SYMPTOMS | UNSTABLE | {"hidden_activation"}, learns=0.85)  # fmt: skip
def percentage_error_of_classes(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    y, y_val = (y % 2).float(), (y_val % 2).float()
    torch.manual_seed(seed)
    activation = nn.ReLU if repaired else nn.Identity
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), activation(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), activation(),
        nn.Flatten(), nn.Linear(256, 32), activation(), nn.Linear(32, 1),
    )  # fmt: skip
    optimizer = torch.optim.NAdam(model.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(X, y), batch_size=32, shuffle=True)

    def mape(prediction, target):
        return 100 * torch.mean(torch.abs((target - prediction) / torch.clamp(target.abs(), min=1e-7)))

    def train():
        for epoch in range(5):
            for image, odd in loader:
                optimizer.zero_grad()
                loss = F.binary_cross_entropy_with_logits(model(image).squeeze(1), odd)
                loss.backward()
                optimizer.step()

    def train_mape():
        for epoch in range(5):
            for image, odd in loader:
                optimizer.zero_grad()
                loss = mape(torch.sigmoid(model(image)).squeeze(1), odd)
                loss.backward()
                optimizer.step()

    loss_fn = None if repaired else mape
    score = lambda: data.accuracy(model, X_val, y_val)
    return Scene(model, optimizer, loss_fn, loader, train if repaired else train_mape, score=score)


@fault("SO-38648195", kind="loss_mismatch/multilabel_as_multiclass", causes={"output_layer", "loss_match"},
       symptoms=SYMPTOMS, learns=0.85)  # fmt: skip
def three_labels_each(repaired, seed):
    torch.manual_seed(seed)
    X = torch.randn(1000, 20)
    y = (X @ torch.randn(20, 3) > 0).float()
    drop = 0.1 if repaired else 0.5
    model = nn.Sequential(
        nn.Linear(20, 20), nn.ReLU(), nn.Dropout(drop), nn.Linear(20, 20), nn.ReLU(), nn.Dropout(drop), nn.Linear(20, 3)
    )
    loader = DataLoader(TensorDataset(X, y), batch_size=20, shuffle=True)
    if repaired:
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        criterion = nn.BCEWithLogitsLoss()
    else:
        model.append(nn.Softmax(dim=1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        criterion = nn.MSELoss()

    def train():
        for epoch in range(10):
            model.train()
            for inputs, labels in loader:
                optimizer.zero_grad()
                loss = criterion(model(inputs), labels)
                loss.backward()
                optimizer.step()

    def score():
        model.eval()
        with torch.no_grad():
            return ((model(X) > (0 if repaired else 0.5)) == y.bool()).float().mean().item()

    return Scene(model, optimizer, criterion, loader, train, score=score)


@fault("TDC-syn-wrong_loss_selection-baseCNN", kind="loss_mismatch/wrong_family", causes={"loss_match"},
       symptoms=SYMPTOMS, learns=0.85)  # fmt: skip
def squared_error_of_probabilities(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(X, F.one_hot(y, 10).float()), batch_size=64, shuffle=True)

    def train():
        for epoch in range(10):
            for image, target in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(image), target)
                loss.backward()
                optimizer.step()

    def train_mse():
        for epoch in range(10):
            for image, target in loader:
                optimizer.zero_grad()
                loss = F.mse_loss(F.softmax(model(image), dim=1), target)
                loss.backward()
                optimizer.step()

    score = lambda: data.accuracy(model, X_val, y_val)
    return Scene(model, optimizer, None, loader, train if repaired else train_mse, score=score)


@fault("DeepCrime-R4", kind="synthetic_mutation/hinge_loss_on_softmax", causes={"loss_match"},
       symptoms=SYMPTOMS, learns=0.8)  # fmt: skip
def hinge_of_probabilities(repaired, seed):
    torch.manual_seed(seed)
    topics = torch.rand(30, 150).pow(4)
    y = torch.multinomial(1 / torch.arange(1.0, 31), 900, replacement=True)
    X = (torch.rand(900, 150) < topics[y]).float()
    model = nn.Sequential(nn.Linear(150, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 30))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(X, F.one_hot(y, 30).float()), batch_size=32, shuffle=True)

    def train():
        for epoch in range(6):
            model.train()
            for words, topic in loader:
                optimizer.zero_grad()
                probabilities = model(words).softmax(dim=1)
                loss = -(topic * probabilities.log()).sum(dim=1).mean()
                loss.backward()
                optimizer.step()

    def train_hinge():
        for epoch in range(6):
            model.train()
            for words, topic in loader:
                optimizer.zero_grad()
                probabilities = model(words).softmax(dim=1)
                loss = torch.clamp(1 - (2 * topic - 1) * probabilities, min=0).mean()
                loss.backward()
                optimizer.step()

    score = lambda: data.accuracy(model, X, y)
    return Scene(model, optimizer, None, loader, train if repaired else train_hinge, score=score)


@fault("own-varieties-as-numbers", kind="loss_mismatch/regression_of_classes", causes={"loss_match", "output_layer"},
       symptoms=SYMPTOMS | {"simpler_baseline", "target_scale"}, learns=0.85)  # fmt: skip
def varieties_as_numbers(repaired, seed):
    profiles = torch.randn(8, 10, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(seed)
    y = torch.randint(0, 8, (1000,))
    X = profiles[y] + 0.7 * torch.randn(1000, 10)
    model = nn.Sequential(
        nn.Linear(10, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 8 if repaired else 1)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(X, y), batch_size=40, shuffle=True)

    def variety(x):
        return model(x).argmax(1) if repaired else model(x).squeeze(1).round().clamp(0, 7).long()

    def train():
        for epoch in range(10):
            for measured, kind in loader:
                if repaired:
                    loss = F.cross_entropy(model(measured), kind)
                else:
                    loss = F.mse_loss(model(measured).squeeze(1), kind.float())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def score():
        with torch.no_grad():
            return (variety(X) == y).float().mean().item()

    return Scene(model, optimizer, None, loader, train, score=score)
