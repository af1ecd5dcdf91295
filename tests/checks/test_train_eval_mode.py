import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import nn_inspector as nni
from nn_inspector.checks.loop.modes import dependent_on_mode, trained_modes
from nn_inspector.history import Run
from nn_inspector.probes import Measurement
from tests.trainings import CLASSES, FEATURES, Case, blobs, classifier, mlp

val_loader = DataLoader(blobs(seed=1), batch_size=32)


def with_dropout():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, CLASSES))


def with_norm():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, CLASSES))


class Asking(nn.Module):
    """Uses dropout as a function; `how` says how it is told the mode."""

    def __init__(self):
        super().__init__()
        self.first, self.last, self.dropout_p = nn.Linear(FEATURES, 16), nn.Linear(16, CLASSES), 0.4

    def forward(self, x):
        return self.last(F.dropout(self.first(x).relu(), 0.5, self.training))


class NotAsking(Asking):
    def forward(self, x):
        return self.last(F.dropout(self.first(x).relu(), 0.5))


class AlwaysOnPurpose(Asking):
    def forward(self, x):
        return self.last(F.dropout(self.first(x).relu(), p=0.5, training=True))


class MadeAnew(Asking):
    def forward(self, x):
        return self.last(nn.Dropout(0.5)(self.first(x).relu()))


class Losing(Asking):
    def forward(self, x):
        if not self.training:
            self.dropout_p = 0.0
        return self.last(F.dropout(self.first(x).relu(), self.dropout_p, self.training))


class LosingByTurns(Asking):
    def forward(self, x):
        self.dropout_p = 0.0 if not self.training else 0.4
        return self.last(F.dropout(self.first(x).relu(), self.dropout_p, self.training))


class Block(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.2)


def train_on(case):
    for x, y in case.train_loader:
        case.optimizer.zero_grad()
        case.loss_fn(case.model(x), y).backward()
        case.optimizer.step()


def validate(case):
    with torch.no_grad():
        for x, y in val_loader:
            case.loss_fn(case.model(x), y)


def right(case):
    for _ in range(4):
        case.model.train()
        train_on(case)
        case.model.eval()
        validate(case)


def never_back(case):
    for _ in range(4):
        train_on(case)
        case.model.eval()
        validate(case)


def validated_within(case):
    for _ in range(4):
        case.model.train()
        for i, (x, y) in enumerate(case.train_loader):
            case.optimizer.zero_grad()
            case.loss_fn(case.model(x), y).backward()
            case.optimizer.step()
            if i == 2:
                case.model.eval()
                validate(case)


def always_in_eval(case):
    case.model.eval()
    for _ in range(4):
        train_on(case)


def never_in_eval(case):
    for _ in range(4):
        train_on(case)
        validate(case)


def without_validation(case):
    for _ in range(4):
        train_on(case)


def finding_of(model, loop, *, read=None, seconds=300, before=None):
    case = Case(model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), classifier().train_loader)
    if before is not None:
        before(case)
    with nni.watch(
        model, case.optimizer, case.loss_fn, train_loader=case.train_loader, val_loader=val_loader, loop=read
    ) as inspector:
        loop(case)
        return inspector.check("train_eval_mode", seconds=seconds)


@pytest.mark.parametrize("loop", [right, without_validation])
@pytest.mark.parametrize("make", [with_dropout, with_norm, mlp, Asking, LosingByTurns])
def test_sound_modes_pass(make, loop):
    finding = finding_of(make(), loop, read=loop)
    assert finding.severity == "ok", finding.message


@pytest.mark.parametrize(("loop", "steps"), [(never_back, 18), (validated_within, 12)])
@pytest.mark.parametrize(
    ("make", "what"), [(with_dropout, "dropout"), (with_norm, "batch normalization"), (Asking, "dropout")]
)
def test_training_that_goes_on_in_evaluation_mode_is_an_error(make, what, loop, steps):
    finding = finding_of(make(), loop, read=loop)
    assert finding.severity == "error"
    assert f"{steps} of 24 steps were made in evaluation mode, that is without {what}" in finding.message
    assert "The remedy was not tried" in finding.message
    assert finding.where.endswith("case.model.eval()")
    assert finding.basis == "structure"


def test_without_dropout_and_batch_norm_it_does_no_harm():
    finding = finding_of(mlp(), never_back)
    assert finding.severity == "info"
    assert "Nothing in this model depends on it" in finding.message


def test_evaluation_mode_from_the_first_step_is_a_question_for_a_pretrained_model():
    fresh = finding_of(with_norm(), always_in_eval)
    trained = finding_of(with_norm(), always_in_eval, before=train_on)
    assert (fresh.severity, trained.severity) == ("error", "info")
    assert finding_of(with_dropout(), always_in_eval).severity == "info"


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (with_dropout, "dropout is active"),
        (with_norm, "learns from the validation data"),
        (Asking, "dropout is active"),
    ],
)
def test_validation_in_training_mode_is_a_warning(make, what):
    finding = finding_of(make(), never_in_eval, read=[never_in_eval, validate])
    assert (finding.severity, finding.basis) == ("warning", "structure")
    assert what in finding.message
    assert finding.where.endswith("case.loss_fn(case.model(x), y)")


def repeatedly(case):
    train_on(case)
    with torch.no_grad():
        for x, _ in val_loader:
            torch.stack([case.model(x) for _ in range(5)]).mean(0)


def statistics_renewed(case):
    train_on(case)
    with torch.no_grad():
        for x, _ in case.train_loader:
            case.model(x)


def teaching_itself(case):
    for x, _ in case.train_loader:
        with torch.no_grad():
            target = case.model(x).argmax(1)
        case.optimizer.zero_grad()
        case.loss_fn(case.model(x), target).backward()
        case.optimizer.step()


@pytest.mark.parametrize("loop", [repeatedly, statistics_renewed, teaching_itself])
@pytest.mark.parametrize("make", [with_dropout, with_norm])
def test_passes_without_a_gradient_may_be_something_else(make, loop):
    finding = finding_of(make(), loop, read=loop)
    assert finding.severity == "ok", finding.message


@pytest.mark.parametrize(
    ("make", "severity", "said"),
    [
        (NotAsking, "warning", "F.dropout in the forward pass is not told the mode"),
        (MadeAnew, "warning", "Dropout in the forward pass is made anew in each pass"),
        (AlwaysOnPurpose, "info", "Is it on purpose?"),
    ],
)
def test_dropout_that_stays_on(make, severity, said):
    finding = finding_of(make(), right)
    assert finding.severity == severity
    assert said in finding.message
    assert finding.where.startswith("line ")


def test_dropout_within_a_sequence_of_modules_is_found():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(FEATURES, 16), Block(), nn.Linear(16, CLASSES))

        def forward(self, x):
            return self.body(x)

    assert "is not told the mode" in finding_of(Net(), right).message


def test_dropout_that_an_evaluation_pass_switches_off_for_ever_is_an_error():
    finding = finding_of(Losing(), right)
    assert (finding.severity, finding.basis) == ("error", "experiment")
    assert "dropout_p was 0.4 and is 0 now" in finding.message
    assert finding.where.endswith("self.dropout_p = 0.0")


def test_without_an_experiment_and_a_source_nothing_is_said_of_it():
    assert finding_of(Losing(), right, seconds=0).severity == "ok"


def switched_off(case):
    train_on(case)
    for m in case.model.modules():
        if isinstance(m, nn.Dropout):
            m.p = 0.0
    train_on(case)


def switched_off_and_on(case):
    for _ in range(2):
        for m in case.model.modules():
            m.p = 0.5
        case.model.train()
        train_on(case)
        for m in case.model.modules():
            m.p = 0.0
        case.model.eval()
        validate(case)


@pytest.mark.parametrize(("loop", "severity"), [(switched_off, "warning"), (switched_off_and_on, "ok")])
def test_dropout_that_the_loop_switches_off(loop, severity):
    assert finding_of(with_dropout(), loop, read=loop).severity == severity


def test_before_training_it_says_what_to_do(watched):
    finding = watched(classifier()).check("train_eval_mode")
    assert (finding.severity, "Run your training loop" in finding.message) == ("skipped", True)


@pytest.mark.parametrize(
    ("module", "dropout", "norms"),
    [
        (nn.LSTM(2, 2, 2, dropout=0.2), 1, 0),
        (nn.LSTM(2, 2), 0, 0),
        (nn.MultiheadAttention(4, 2, dropout=0.1), 1, 0),
        (nn.BatchNorm2d(3), 0, 1),
        (nn.BatchNorm2d(3, track_running_stats=False), 0, 0),
        (nn.LayerNorm(3), 0, 0),
        (nn.AlphaDropout(0.1), 1, 0),
    ],
)
def test_what_depends_on_the_mode(module, dropout, norms):
    found = dependent_on_mode(module)
    assert (len(found.dropout), len(found.norms)) == (dropout, norms)


def test_steps_are_counted_by_the_mode_of_their_last_pass():
    run = Run("test", {})
    run.steps = 10
    modes = [(0, 1.0), (4, 0.0), (4, 1.0), (6, 0.0), (9, 1.0), (10, 0.0)]
    run.record(Measurement(step, "training_mode", "train", mode) for step, mode in modes)
    found = trained_modes(run)
    assert (found.in_eval, found.steps, found.first_in_train) == (3, 10, True)
