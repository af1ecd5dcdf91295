"""Independent sigmoids where one of several classes is asked for, and labels in a form the loss does not expect."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests import scene_data as data
from tests.faults.symptoms import BAD_START, NO_SIGNAL
from tests.scenes import Scene, fault

KIND = "output_head/sigmoid_for_multiclass"
CAUSES = {"output_layer", "loss_match"}
SYMPTOMS = NO_SIGNAL | {"initial_loss", "weight_scale", "learning_rate", "training_length", "activation_scale"}


@fault("SO-41999686", kind=KIND, causes=CAUSES, symptoms=SYMPTOMS, learns=0.85)
def four_classes_five_layers(repaired, seed):
    X, y, X_val, y_val = data.classification(seed, features=30, classes=4, n_clusters_per_class=1, class_sep=2.5)
    torch.manual_seed(seed)
    layers = [nn.Linear(30, 64), nn.ReLU(), nn.Dropout(0.2)]
    for _ in range(3):
        layers += [nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2)]
    model = nn.Sequential(*layers, nn.Linear(64, 4))
    if not repaired:
        model.append(nn.Sigmoid())
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.05)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, F.one_hot(y, 4).float()), batch_size=32, shuffle=True)

    def train():
        for epoch in range(10):
            model.train()
            for x, target in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), target)
                loss.backward()
                optimizer.step()

    return Scene(model, optimizer, criterion, loader, train, score=lambda: data.accuracy(model, X_val, y_val))


@fault("SO-42472447", kind=KIND, causes=CAUSES, symptoms=SYMPTOMS, learns=-0.5)
def forty_classes(repaired, seed):
    torch.manual_seed(seed)
    centres = torch.randn(40, 33) * 1.5
    y = torch.randint(0, 40, (1200,))
    X = centres[y] + 0.8 * torch.randn(1200, 33)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(33, 64)
            self.fc2 = nn.Linear(64, 64)
            self.out = nn.Linear(64, 40)

        def forward(self, x):
            x = F.relu(self.fc2(F.relu(self.fc1(x))))
            return self.out(x) if repaired else torch.sigmoid(self.out(x))

    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    loader = DataLoader(TensorDataset(X, y), batch_size=40, shuffle=True)

    def train():
        for epoch in range(12):
            correct = 0
            for x, kind in loader:
                optimizer.zero_grad()
                output = net(x)
                loss = F.cross_entropy(output, kind)
                loss.backward()
                optimizer.step()
                correct += (output.argmax(dim=1) == kind).sum().item()
            print(epoch, correct / len(X))

    def score():
        with torch.no_grad():
            return -F.cross_entropy(net(X), y).item()

    return Scene(net, optimizer, F.cross_entropy, loader, train, score=score)


@fault("SO-51930566", kind=KIND, causes=CAUSES | {"input_scale"}, symptoms=SYMPTOMS, learns=-0.5)
def iris_with_three_sigmoids(repaired, seed):
    X, y, X_val, y_val = data.table("iris", seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    final = nn.LogSoftmax(dim=1) if repaired else nn.Sigmoid()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(X, F.one_hot(y, 3).float()), batch_size=5, shuffle=True)

    def train():
        for epoch in range(15):
            for flower, kind in loader:
                optimizer.zero_grad()
                loss = -(kind * final(model(flower))).sum(dim=1).mean()
                loss.backward()
                optimizer.step()

    def train_sigmoid():
        for epoch in range(15):
            for flower, kind in loader:
                optimizer.zero_grad()
                p = final(model(flower))
                loss = F.cross_entropy(p, kind)
                loss.backward()
                optimizer.step()

    def score():
        with torch.no_grad():
            out = model(X_val) if repaired else final(model(X_val))
            return -F.cross_entropy(out, y_val).item()

    return Scene(model, optimizer, None, loader, train if repaired else train_sigmoid, score=score)


@fault("SO-70148149", kind="output_head/softmax_single_unit", causes={"output_layer", "loss_match", "loss_reduction"},
       symptoms=SYMPTOMS, learns=0.85)  # fmt: skip
def one_unit_against_two_columns(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    X, X_val, y, y_val = X.squeeze(1), X_val.squeeze(1), (y > 4).long(), (y_val > 4).long()
    torch.manual_seed(seed)

    class Scanner(nn.Module):
        def __init__(self, outputs):
            super().__init__()
            self.conv = nn.Conv1d(8, 32, 3)
            self.dense = nn.Linear(192, 64)
            self.dropout = nn.Dropout(0.3)
            self.out = nn.Linear(64, outputs)

        def forward(self, x):
            x = F.relu(self.conv(x)).flatten(1)
            return self.out(self.dropout(F.relu(self.dense(x))))

    model = Scanner(2 if repaired else 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(X, F.one_hot(y, 2).float()), batch_size=50, shuffle=True)

    def train():
        for epoch in range(8):
            for scan, target in loader:
                loss = F.cross_entropy(model(scan), target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def train_binary():
        for epoch in range(8):
            for scan, target in loader:
                p = torch.softmax(model(scan), dim=1).expand_as(target)
                loss = F.binary_cross_entropy(p, target)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    predict = model if repaired else lambda x: torch.softmax(model(x), dim=1) - 0.5
    score = lambda: data.accuracy(predict, X_val, y_val)
    return Scene(model, optimizer, None, loader, train if repaired else train_binary, score=score)


@fault("SO-62055783", kind="loss_mismatch/integer_labels_with_onehot_loss", causes={"loss_match", "loss_reduction", "label_range"},
       symptoms=BAD_START | SYMPTOMS | {"regularization_share", "loss_terms", "update_direction"}, learns=0.85)  # fmt: skip
def integers_for_rows(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    X, y, X_val, y_val = X[y < 7], y[y < 7], X_val[y_val < 7], y_val[y_val < 7]
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2), nn.Flatten(), nn.Linear(256, 64),
        nn.ReLU(), nn.Linear(64, 7),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def categorical_crossentropy(target, logits):
        return -(target * F.log_softmax(logits, dim=1)).sum(dim=1).mean()

    def train():
        for epoch in range(6):
            model.train()
            for image, emotion in loader:
                optimizer.zero_grad()
                loss = categorical_crossentropy(F.one_hot(emotion, 7), model(image))
                loss.backward()
                optimizer.step()

    def train_integers():
        for epoch in range(6):
            model.train()
            for image, emotion in loader:
                optimizer.zero_grad()
                loss = categorical_crossentropy(emotion.unsqueeze(1), model(image))
                loss.backward()
                optimizer.step()

    loop = train if repaired else train_integers
    return Scene(model, optimizer, None, loader, loop, score=lambda: data.accuracy(model, X_val, y_val))


@fault("TDC-syn-wrong_loss_selection-deepCNN", kind="loss_mismatch/wrong_family", causes={"loss_match", "label_range"},
       symptoms=BAD_START | SYMPTOMS | {"output_layer", "target_scale"}, learns=0.8)  # fmt: skip
def entropy_for_a_regression(repaired, seed):
    X, y, X_val, y_val = data.regression(seed)
    y, y_val = y + 2, y_val + 2
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(30):
            for x, t in loader:
                optimizer.zero_grad()
                loss = F.mse_loss(model(x), t)
                loss.backward()
                optimizer.step()

    def train_entropy():
        for epoch in range(30):
            for x, t in loader:
                optimizer.zero_grad()
                p = model(x).clamp(1e-6, 1 - 1e-6)
                loss = -(t * p.log() + (1 - t) * (1 - p).log()).mean()
                loss.backward()
                optimizer.step()

    loop = train if repaired else train_entropy
    return Scene(model, optimizer, None, loader, loop, score=lambda: data.explained(model, X_val, y_val))


@fault("TDC-syn-redundant_softmax-deepCNN", kind="loss_mismatch/double_softmax", causes={"loss_match"},
       symptoms=SYMPTOMS | {"output_layer"}, learns=-0.7)  # fmt: skip
def softmax_before_the_entropy(repaired, seed):
    X, y, X_val, y_val = data.digits(seed)
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    loss_function = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)

    def train():
        for epoch in range(6):
            net.train()
            for images, labels in loader:
                optimizer.zero_grad()
                loss = loss_function(net(images), labels)
                loss.backward()
                optimizer.step()

    def train_probabilities():
        for epoch in range(6):
            net.train()
            for images, labels in loader:
                optimizer.zero_grad()
                probabilities = F.softmax(net(images), dim=-1)
                loss = loss_function(probabilities, labels)
                loss.backward()
                optimizer.step()

    def score():
        net.eval()
        with torch.no_grad():
            out = net(X_val) if repaired else F.softmax(net(X_val), dim=-1)
            return -loss_function(out, y_val).item()

    return Scene(net, optimizer, loss_function, loader, train if repaired else train_probabilities, score=score)
