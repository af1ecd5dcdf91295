import copy

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nn_inspector as nni
from tests.trainings import CLASSES, FEATURES, Case, blobs, classifier, mlp


class Net(nn.Module):
    """A body and a head; `layers` says in what the body keeps its layers."""

    def __init__(self, layers=nn.ModuleList):
        super().__init__()
        self.first = nn.Linear(FEATURES, 16)
        self.layers = layers([nn.Linear(16, 16), nn.Linear(16, 16)])
        self.head = nn.Linear(16, CLASSES)
        self.unused = nn.Linear(3, 3)

    def forward(self, x):
        x = self.first(x).relu()
        for layer in self.layers.values() if isinstance(self.layers, dict) else self.layers:
            x = layer(x).relu()
        return self.head(x)


def by_number(layers):
    return dict(enumerate(layers))


class WithTensor(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.randn(FEATURES, 16, requires_grad=True)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.head((x @ self.weight).relu())


def case_of(model, *parameters, lr=0.1):
    torch.manual_seed(0)
    held = list(parameters) or list(model.parameters())
    return Case(model, torch.optim.SGD(held, lr=lr), nn.CrossEntropyLoss(), classifier().train_loader)


def net(**options):
    torch.manual_seed(0)
    return Net(**options)


def sound():
    return case_of(net())


def frozen_body():
    model = net()
    for p in [*model.first.parameters(), *model.layers.parameters()]:
        p.requires_grad_(False)
    return case_of(model, *model.head.parameters())


def pretrained_body_left_out():
    case = classifier()
    case.run(6)
    model = case.model
    model[2] = nn.Linear(16, CLASSES)
    return case_of(model, *model[2].parameters())


def no_gradient_for_unused():
    model = net()
    return case_of(model, *(p for n, p in model.named_parameters() if "unused" not in n))


def modules_listed_twice():
    model = net()
    model.also = [model.first, model.head]
    return case_of(model)


def frozen_teacher_in_a_list():
    model = net()
    model.teacher = [net().requires_grad_(False)]
    return case_of(model)


def hidden_but_given():
    model = net(layers=list)
    return case_of(model, *model.parameters(), *(p for layer in model.layers for p in layer.parameters()))


def stepped_by_another():
    model = net()
    case = case_of(model, *model.head.parameters())
    other = torch.optim.SGD([*model.first.parameters(), *model.layers.parameters()], lr=0.1)
    step = case.optimizer.step

    def both(*args):
        other.step()
        other.zero_grad()
        return step(*args)

    case.optimizer.step = both
    return case


@pytest.mark.parametrize(
    "make",
    [
        sound,
        frozen_body,
        no_gradient_for_unused,
        modules_listed_twice,
        frozen_teacher_in_a_list,
        hidden_but_given,
        stepped_by_another,
    ],
)
def test_sound_wirings_pass(watched, make):
    case = make()
    finding = watched(case, Case.run).check("trainable_parameters")
    assert finding.severity == "ok", finding.message
    assert finding.message.startswith("Yes: ")


@pytest.mark.parametrize("body", [pretrained_body_left_out])
def test_a_body_left_out_on_purpose_is_no_reason_to_worry(watched, body):
    finding = watched(body(), Case.run).check("trainable_parameters")
    assert finding.severity == "info", finding.message
    assert "get gradients, but no optimizer holds them" in finding.message


def body_for_another_task(*, frozen=True):
    """A body that looks at one feature of all, as another task may have left it, and a head that learns on it."""
    model = net()
    with torch.no_grad():
        model.first.weight[:, 1:] = 0
        model.first.weight *= 3
    body = [*model.first.parameters(), *model.layers.parameters()]
    for p in body:
        p.requires_grad_(not frozen)
    return case_of(model, *model.head.parameters())


def thaw_and_run(case):
    case.run(2)
    case.model.requires_grad_(True)
    case.run(25)


def test_a_body_that_is_thawed_without_the_optimizer_is_an_error(watched):
    finding = watched(body_for_another_task(), thaw_and_run).check("trainable_parameters")
    assert finding.severity == "error", finding.message
    assert "were frozen when watching began, and are not any more" in finding.message
    assert "add_param_group" in finding.remedy.code
    assert finding.remedy.tried.helped


def test_a_body_that_the_task_cannot_do_without_is_a_warning(watched):
    finding = watched(body_for_another_task(frozen=False), lambda c: c.run(25)).check("trainable_parameters")
    assert finding.severity == "warning", finding.message
    assert "no optimizer holds them" in finding.message


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.EmbeddingBag(4, 6), nn.Linear(6, CLASSES)

    def forward(self, words):
        return self.head(self.table(words))


def test_a_table_that_was_made_larger_after_the_optimizer_is_an_error(watched):
    torch.manual_seed(0)
    model = Words()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    model.table = nn.EmbeddingBag(60, 6)
    words = torch.randint(0, 60, (400, 5))
    labels = (words % CLASSES).mode(1).values
    loader = DataLoader(TensorDataset(words, labels), batch_size=20, shuffle=True)
    finding = watched(Case(model, optimizer, nn.CrossEntropyLoss(), loader), lambda c: c.run(15)).check(
        "trainable_parameters"
    )
    assert finding.severity == "error", finding.message
    assert "It holds 1 that nobody uses" in finding.message


def test_a_body_that_is_thawed_and_does_well_without_is_fine(watched):
    case = pretrained_body_left_out()
    case.model[0].requires_grad_(False)
    finding = watched(case, thaw_and_run).check("trainable_parameters")
    assert finding.severity == "info", finding.message


def copied_after():
    case = sound()
    case.model = copy.deepcopy(case.model)
    return case


def of_another_model():
    case = sound()
    case.model = mlp()
    return case


def new_head():
    case = sound()
    case.model.head = nn.Linear(16, CLASSES)
    return case


def assigned_parameters():
    case = sound()
    case.model.first.weight = nn.Parameter(torch.randn(16, FEATURES) / 3)
    case.model.head.weight = nn.Parameter(torch.randn(CLASSES, 16) / 4)
    return case


def head_forgotten():
    model = net()
    return case_of(model, *model.first.parameters(), *model.layers.parameters())


def body_forgotten():
    model = net()
    return case_of(model, *model.head.parameters())


def in_a_list():
    return case_of(net(layers=list))


def in_a_dict():
    return case_of(net(layers=by_number))


def a_tensor():
    torch.manual_seed(0)
    return case_of(WithTensor())


def frozen_head():
    model = net()
    model.head.requires_grad_(False)
    return case_of(model)


@pytest.mark.parametrize(
    ("make", "message", "where"),
    [
        (copied_after, "holds none of the model's 10 parameters, but 10 of another copy of this model", "optimizer"),
        (of_another_model, "holds none of the model's 4 parameters, but 10 of others", "optimizer"),
        (new_head, "head.weight, head.bias got new tensors after the optimizer was made", "head.weight"),
        (assigned_parameters, "first.weight, head.weight got new tensors", "first.weight"),
        (head_forgotten, "the last layer is not trained. head.weight, head.bias get gradients", "head.weight"),
        (body_forgotten, "They are as they were made at the start", "first.weight"),
        (in_a_list, "layers[0].weight, layers[0].bias, layers[1].weight and 1 more stand in a plain list", "layers[0].weight"),
        (in_a_dict, "stand in a plain list, dict or attribute", "layers[0].weight"),
        (a_tensor, "weight stand in a plain list, dict or attribute", "weight"),
        (frozen_head, "the last layer is frozen as it was made at the start", "head.weight"),
    ],
)  # fmt: skip
def test_what_nobody_steps_is_an_error(watched, make, message, where):
    finding = watched(make(), lambda case: case.run(4)).check("trainable_parameters")
    assert finding.severity == "error", finding.message
    assert message in finding.message
    assert (finding.where, finding.basis) == (where, "structure")
    assert finding.remedy.tried is not None


class WithTarget(nn.Module):
    """A network that is to answer like a frozen one, which runs last; `quietly` says whether without a graph."""

    def __init__(self, *, quietly):
        super().__init__()
        self.quietly = quietly
        self.online = mlp()
        self.target = mlp(seed=1).requires_grad_(False)

    def forward(self, x):
        answer = self.online(x)
        with torch.set_grad_enabled(not self.quietly):
            return answer, self.target(x)


@pytest.mark.parametrize("quietly", [True, False], ids=["no_grad", "frozen"])
def test_a_frozen_network_that_says_what_is_right_is_not_the_last_layer(watched, quietly):
    def loop(case):
        for x, _ in case.train_loader:
            answer, right = case.model(x)
            case.optimizer.zero_grad()
            (answer - right).square().mean().backward()
            case.optimizer.step()

    model = WithTarget(quietly=quietly)
    finding = watched(case_of(model, *model.online.parameters()), loop).check("trainable_parameters")
    assert finding.severity == "ok", finding.message


def test_everything_frozen_is_an_error(watched):
    model = net().requires_grad_(False)

    def loop(case):
        for x, y in case.train_loader:
            loss = case.loss_fn(case.model(x), y)
            loss.requires_grad_(True)
            loss.backward()
            case.optimizer.step()

    finding = watched(case_of(model), loop).check("trainable_parameters")
    assert (finding.severity, "every parameter is frozen" in finding.message) == ("error", True)


def test_parameters_replaced_in_the_loop_are_an_error_with_its_line(watched):
    case = sound()

    def loop():
        for epoch in range(3):
            if epoch == 1:
                case.model.head = nn.Linear(16, CLASSES)
            for x, y in case.train_loader:
                case.optimizer.zero_grad()
                case.loss_fn(case.model(x), y).backward()
                case.optimizer.step()

    with nni.watch(case.model, case.optimizer, case.loss_fn, loop=loop) as inspector:
        loop()
        finding = inspector.check("trainable_parameters")
    assert finding.severity == "error"
    assert "head.weight, head.bias got new tensors" in finding.message
    assert finding.where == f"line {loop.__code__.co_firstlineno + 3}: case.model.head = nn.Linear(16, CLASSES)"


def test_the_optimizer_that_follows_a_new_head_is_seen(watched):
    case = sound()

    def loop(case):
        case.model.head = nn.Linear(16, CLASSES)
        case.optimizer = torch.optim.SGD(case.model.parameters(), lr=0.1)
        case.run(2)

    finding = watched(case, loop).check("trainable_parameters")
    assert finding.severity == "ok", finding.message


def test_an_image_may_be_trained_through_a_frozen_network():
    model, image = net().requires_grad_(False), torch.zeros(4, FEATURES, requires_grad=True)
    optimizer = torch.optim.SGD([image], lr=0.1)
    with nni.watch(model, optimizer) as inspector:
        for _ in range(4):
            optimizer.zero_grad()
            model(image).square().mean().backward()
            optimizer.step()
        assert inspector.check("trainable_parameters").severity == "ok"


def test_without_experiments_a_body_left_out_is_not_judged(watched):
    finding = watched(body_forgotten(), Case.run).check("trainable_parameters", seconds=0)
    assert (finding.severity, finding.remedy.tried) == ("info", None)


@pytest.mark.parametrize(("optimizer", "severity"), [(None, "skipped"), ("given", "ok")])
def test_before_the_first_step(optimizer, severity):
    model = mlp()
    with nni.watch(model, torch.optim.SGD(model.parameters(), lr=0.1) if optimizer else None) as inspector:
        finding = inspector.check("trainable_parameters")
    assert finding.severity == severity


def test_updates_by_hand_are_seen(watched):
    def loop(case):
        for x, y in case.train_loader:
            case.loss_fn(case.model(x), y).backward()
            for p in case.model.parameters():
                p.data -= 0.1 * p.grad
                p.grad = None

    case = classifier()
    with nni.watch(case.model, None, case.loss_fn) as inspector:
        loop(case)
        finding = inspector.check("trainable_parameters")
    assert (finding.severity, finding.message) == ("ok", "Yes: 4 of 4 parameters are stepped.")


def test_without_a_loader_the_trial_takes_the_data_of_the_loop():
    case = in_a_list()
    with nni.watch(case.model, case.optimizer, case.loss_fn) as inspector:
        for x, y in [blobs(16).tensors] * 4:
            case.loss_fn(case.model(x), y).backward()
            case.optimizer.step()
        finding = inspector.check("trainable_parameters")
    assert finding.severity == "error"
    assert finding.remedy.tried is not None
    assert finding.message.endswith("that your loop uses in each step.)")
