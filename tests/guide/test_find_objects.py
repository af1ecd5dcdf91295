import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from nn_inspector import AmbiguousError, ArgumentError
from nn_inspector.guide.find_objects import Choice, choose, find_candidates
from tests.trainings import blobs, mlp


def notebook(**more):
    net = mlp()
    return {
        "torch": torch,
        "nn": nn,
        "DataLoader": DataLoader,
        "_hidden": mlp(),
        "net": net,
        "opt": torch.optim.SGD(net.parameters(), lr=0.1),
        "criterion": nn.CrossEntropyLoss(),
        "train_dl": DataLoader(blobs(), batch_size=8),
        "val_dl": DataLoader(blobs(), batch_size=8),
        "x": torch.zeros(3),
        **more,
    }


def test_everything_is_found_by_its_type():
    assert choose(notebook()) == Choice("net", "opt", "criterion", "train_dl", "val_dl")


def test_the_call_and_its_objects():
    names = notebook()
    choice = choose(names)
    assert choice.call() == "nni.watch(net, opt, criterion, train_loader=train_dl, val_loader=val_dl)"
    assert choice.objects(names)["optimizer"] is names["opt"]
    assert Choice("net", loss_fn="criterion").call() == "nni.watch(net, loss_fn=criterion)"


def test_a_part_of_a_model_is_no_model():
    body = mlp()
    net = nn.Sequential(body, nn.ReLU())
    assert find_candidates({"body": body, "net": net}).models == ("net",)


def test_several_names_for_one_object_count_once():
    net = mlp()
    assert find_candidates({"a": net, "b": net}).models == ("a",)


def test_of_two_models_the_one_with_an_optimizer_is_meant():
    assert choose(notebook(other=mlp())).model == "net"


def test_two_models_with_an_optimizer_each_must_be_told_apart():
    other = mlp()
    names = notebook(other=other, opt2=torch.optim.Adam(other.parameters()))
    with pytest.raises(
        AmbiguousError, match=r"There are 2 models: net, other\. Say which one: %nn_watch --model other"
    ):
        choose(names)
    assert choose(names, model="other").optimizer == "opt2"
    assert choose(names, model="net").optimizer == "opt"


@pytest.mark.parametrize(
    ("names", "model", "error"),
    [
        ({}, None, "expected a torch.nn.Module among the notebook's variables, got none. Run the cells"),
        ({"loss": nn.MSELoss()}, None, "got none"),
        ({"net": mlp()}, "nett", "expected one of net, got 'nett'"),
    ],
)
def test_no_model_is_said(names, model, error):
    with pytest.raises(ArgumentError, match=error):
        choose(names, model=model)


def test_a_loss_that_is_a_function_is_known_by_its_usual_names():
    assert choose({"net": mlp(), "loss_fn": F.cross_entropy}).loss_fn == "loss_fn"
    assert choose({"net": mlp(), "loss": torch.tensor(1.0)}).loss_fn is None


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("val_loader", "val"),
        ("valid_dl", "val"),
        ("test_data", "val"),
        ("dev", "val"),
        ("train", "train"),
        ("data", "train"),
        ("latest", "train"),
    ],
)
def test_loaders_are_told_apart_by_their_names(name, role):
    found = find_candidates({name: DataLoader(blobs(), batch_size=8)})
    assert (name in found.val_loaders) == (role == "val")
    assert (name in found.train_loaders) == (role == "train")


def test_validation_is_preferred_to_test():
    loaders = {
        name: DataLoader(blobs(), batch_size=8) for name in ("test_loader", "val_loader", "other", "train_loader")
    }
    found = find_candidates(loaders)
    assert found.train_loaders[0] == "train_loader"
    assert found.val_loaders[0] == "val_loader"


def test_a_list_of_batches_is_known_by_name_and_form():
    batches = [(torch.zeros(2, 2), torch.zeros(2))]
    assert find_candidates({"train_loader": batches, "pairs": batches, "loaded": [1, 2]}).train_loaders == (
        "train_loader",
    )


def test_classes_are_no_objects():
    assert find_candidates({"Net": nn.Linear, "Loss": nn.MSELoss, "Adam": torch.optim.Adam}).models == ()
