"""The magics, in an IPython shell without a front end."""

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import nn_inspector as nni
from tests.trainings import classifier


@pytest.fixture
def shell():
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    shell.run_line_magic("load_ext", "nn_inspector")
    case = classifier()
    shell.user_ns.update(model=case.model, optimizer=case.optimizer, loss_fn=case.loss_fn, train=case.train_loader)
    yield shell
    shell.run_line_magic("unload_ext", "nn_inspector")
    InteractiveShell.clear_instance()


def test_watch_finds_the_objects_and_says_what_it_found(shell, capsys):
    shell.run_line_magic("nn_watch", "--name spy")
    assert isinstance(shell.user_ns["spy"], nni.Inspector)
    assert "spy = nni.watch(model, optimizer, loss_fn, train_loader=train" in capsys.readouterr().out


def test_a_check_watches_by_itself_and_shows_its_finding(shell):
    finding = shell.run_line_magic("nn_check", "shuffling")
    assert finding.check == "shuffling"


def test_after_detach_a_check_still_reads_what_was_measured(shell):
    names = shell.user_ns
    with nni.watch(names["model"], names["optimizer"], names["loss_fn"], train_loader=names["train"]) as inspector:
        for x, y in names["train"]:
            names["optimizer"].zero_grad()
            names["loss_fn"](names["model"](x), y).backward()
            names["optimizer"].step()
    names["inspector"] = inspector
    assert shell.run_line_magic("nn_check", "zeroed_gradients").severity == "ok"


def test_the_wizard_opens(shell):
    assert type(shell.run_line_magic("nn_wizard", "")).__name__ == "Wizard"


def test_a_check_becomes_the_next_cell(shell):
    shell.run_line_magic("nn_insert", "shuffling")
    assert shell.rl_next_input.endswith("%nn_check shuffling")


@pytest.mark.parametrize("magic", ["nn_watch", "nn_wizard", "nn_check", "nn_insert"])
def test_help_says_what_it_does(shell, magic, capsys):
    assert shell.run_line_magic(magic, "--help") is None
    assert capsys.readouterr().out.startswith(f"%{magic} ")


@pytest.mark.parametrize(
    ("magic", "line", "message"),
    [
        ("nn_watch", "--name 3x", "--name: expected a name for a variable, got '3x'"),
        ("nn_watch", "--model nothing", "nothing"),
        ("nn_check", "", "Name a check, for example %nn_check shuffling. There are: label_balance, label_range, "),
        ("nn_check", "shufling", "Perhaps you mean: "),
        ("nn_insert", "", "Name a check"),
    ],
)
def test_a_mistake_is_answered_in_one_line(shell, magic, line, message):
    with pytest.raises(UsageError) as raised:
        shell.run_line_magic(magic, line)
    assert message in str(raised.value)


def test_unloading_leaves_nothing_behind(shell):
    before = set(shell.magics_manager.magics["line"])
    shell.run_line_magic("unload_ext", "nn_inspector")
    assert {name for name in before if name.startswith("nn_")} == {"nn_watch", "nn_wizard", "nn_check", "nn_insert"}
    assert not any(name.startswith("nn_") for name in shell.magics_manager.magics["line"])
    assert not [
        f for fs in shell.events.callbacks.values() for f in fs if "nn_inspector" in getattr(f, "__module__", "")
    ]
    shell.run_line_magic("load_ext", "nn_inspector")
