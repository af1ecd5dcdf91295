"""A real kernel without a browser: control messages while a cell runs, comms, cells to insert, loading and unloading."""

from __future__ import annotations

import queue

import pytest
from jupyter_client.manager import start_new_kernel

from nn_inspector.checks import checks

TRAINING = """
import torch, time
from torch import nn
import nn_inspector as nni
model = nn.Linear(4, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
loss_fn = nn.CrossEntropyLoss()
data = torch.utils.data.TensorDataset(torch.randn(64, 4), torch.randint(0, 3, (64,)))
train_loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
"""

LOOP = """
print("started", flush=True)
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    for x, y in train_loader:
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()
        time.sleep(0.005)
"""


class Kernel:
    def __init__(self, client):
        self.client = client
        self.comms = []

    def run(self, code, *, until=None):
        """Run a cell; with `until`, return when that text was printed, else when the cell has ended."""
        message = self.client.execute(code)
        output = []
        while True:
            reply = self.client.get_iopub_msg(timeout=60)
            content = reply["content"]
            self.note(reply)
            if reply["parent_header"].get("msg_id") != message:
                continue
            if reply["msg_type"] == "stream":
                output.append(content["text"])
            elif reply["msg_type"] in ("execute_result", "display_data"):
                output.append(content["data"]["text/plain"])
            elif reply["msg_type"] == "error":
                output.append("\n".join(content["traceback"]))
            if until is not None and until in "".join(output):
                return message
            if reply["msg_type"] == "status" and content["execution_state"] == "idle":
                return "".join(output)

    def finish(self, message):
        """The error that ends a running cell."""
        text = ""
        while True:
            reply = self.client.get_iopub_msg(timeout=60)
            self.note(reply)
            if reply["parent_header"].get("msg_id") != message:
                continue
            if reply["msg_type"] == "error":
                text = "\n".join(reply["content"]["traceback"])
            if reply["msg_type"] == "status" and reply["content"]["execution_state"] == "idle":
                return text

    def note(self, reply):
        if reply["msg_type"].startswith("comm_"):
            self.comms.append((reply["msg_type"], reply["content"]))

    def request(self, what, **more):
        message = self.client.session.msg("nn_inspector_request", {"version": 1, "request": what, **more})
        self.client.control_channel.send(message)
        while True:
            reply = self.client.get_control_msg(timeout=10)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return reply

    def wait_for_steps(self, steps=5, **more):
        """Ask until the training has begun, as a stop before its first step is in vain, or until it has come so far."""
        made = 0
        while made < steps:
            made = self.request("snapshot", **more)["content"]["snapshot"]["training"]["step"]
        return made


@pytest.fixture(scope="module")
def kernel():
    manager, client = start_new_kernel()
    kernel = Kernel(client)
    kernel.run(TRAINING)
    yield kernel
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.fixture
def loaded(kernel):
    kernel.comms.clear()
    kernel.run(
        "%load_ext nn_inspector\ninspector = nni.watch(model, optimizer, loss_fn, train_loader=train_loader, show=False)"
    )
    yield kernel
    kernel.run("%unload_ext nn_inspector")


def test_loading_announces_itself_with_a_snapshot(loaded):
    kind, content = next(entry for entry in loaded.comms if entry[1].get("target_name") == "nn_inspector.catalog")
    assert kind == "comm_open"
    assert content["data"]["version"] == 1
    assert len(content["data"]["snapshot"]["checks"]) == len(checks())


def test_requests_are_answered_while_a_cell_runs_and_stop_ends_it(loaded):
    cell = loaded.run(LOOP, until="started")
    reply = loaded.request("snapshot")
    assert reply["msg_type"] == "nn_inspector_reply"
    assert reply["content"]["status"] == "ok"
    loaded.wait_for_steps()
    snapshot = loaded.request("stop")["content"]
    assert snapshot["message"] == "The training stops after this step."
    text = loaded.finish(cell)
    assert "Training stopped after step" in text
    assert "Traceback" not in text
    assert loaded.run("1 + 1") == "2"
    assert loaded.request("stop")["content"]["message"] == "No training is running."


def test_an_extension_that_asks_while_a_cell_runs_is_heard_at_once(loaded):
    """Started all at once, cells keep back what it says by its comm, and the dashboard would say that no button works."""
    cell = loaded.run("print(nni.live.current_connection().heard, flush=True)\n" + LOOP, until="started")
    loaded.wait_for_steps()
    loaded.request("stop")
    loaded.finish(cell)
    assert loaded.run("print(nni.live.current_connection().heard)") == "True\n"


def test_it_is_known_whether_a_cell_runs(loaded):
    loaded.run("from nn_inspector.live import current_connection\nconnection = current_connection()")
    assert loaded.run("connection.runs_cell") == "True"
    ended = "get_ipython().events.trigger('post_run_cell', None)\nprint(connection.runs_cell, end='')"
    assert "False" in loaded.run(ended)
    assert loaded.run("connection.runs_cell") == "True"


def test_each_cell_is_a_sign_of_life(loaded):
    """Where no page is heard, views come more and more rarely since the last one."""
    loaded.run("import time\nfrom nn_inspector.live import PAGES\nPAGES._pages.clear()\nPAGES._alive = -1e9")
    assert loaded.run("PAGES.is_due(time.monotonic() - 60)") == "True"


def test_a_stop_in_vain_does_not_end_the_next_training(loaded):
    loaded.run("inspector.stop()")
    output = loaded.run(
        "for x, y in train_loader:\n    loss_fn(model(x), y).backward(); optimizer.step()\nprint(inspector.run.steps >= 8)"
    )
    assert output == "True\n"


def test_interrupt_ends_it_too_and_leaves_the_notebook_usable(loaded, kernel):
    cell = loaded.run(LOOP, until="started")
    message = kernel.client.session.msg("interrupt_request", {})
    kernel.client.control_channel.send(message)
    assert "KeyboardInterrupt" in loaded.finish(cell)
    assert (
        loaded.run(
            "import torch; print(torch.overrides._get_current_function_mode_stack(), inspector.check('initial_loss').severity)"
        )
        == "[] ok\n"
    )


def test_snapshots_follow_a_running_training(loaded):
    loaded.comms.clear()
    cell = loaded.run(LOOP, until="started")
    steps = []
    while len(steps) < 3:
        reply = loaded.client.get_iopub_msg(timeout=30)
        if reply["msg_type"] == "comm_msg" and reply["content"]["data"].get("type") == "snapshot":
            steps.append(reply["content"]["data"]["snapshot"]["training"]["step"])
    assert steps == sorted(set(steps))
    loaded.request("stop")
    loaded.finish(cell)


def test_snapshots_rest_while_nobody_sees_a_page(loaded):
    """Those that nobody takes pile up in the server, without a bound."""
    loaded.comms.clear()
    cell = loaded.run(LOOP, until="started")
    hidden = loaded.wait_for_steps(hidden=True)
    loaded.wait_for_steps(hidden + 500, hidden=True)  # each takes 5 ms
    loaded.request("stop", hidden=True)
    loaded.finish(cell)
    sent = [content["data"]["snapshot"]["training"]["step"] for kind, content in loaded.comms if kind == "comm_msg"]
    assert [step < hidden + 500 for step in sent if step > hidden + 1] == [False], "only that after the cell"


def test_a_cell_is_inserted_only_where_somebody_listens(loaded):
    assert loaded.run("print(nni.live.current_connection().insert_cell('1 + 1'))") == "False\n"
    opened = next(content for kind, content in loaded.comms if content.get("target_name") == "nn_inspector.catalog")
    hello = loaded.client.session.msg(
        "comm_msg", {"comm_id": opened["comm_id"], "data": {"version": 1, "type": "hello"}}
    )
    loaded.client.shell_channel.send(hello)
    loaded.comms.clear()
    assert loaded.run("print(nni.live.current_connection().insert_cell('1 + 1'))") == "True\n"
    sent = [content["data"] for kind, content in loaded.comms if kind == "comm_msg"]
    assert {"version": 1, "type": "insert_cell", "source": "1 + 1"} in sent


def test_the_fallback_comm_is_heard_and_never_written_to(loaded):
    loaded.run("case_steps = inspector.run.steps")
    for name in ("a", "b"):
        opening = loaded.client.session.msg(
            "comm_open",
            {"comm_id": name, "target_name": "nn_inspector.control", "data": {"version": 1, "request": "stop"}},
        )
        loaded.client.shell_channel.send(opening)
    loaded.comms.clear()
    assert loaded.run("1") == "1"
    assert [content for _, content in loaded.comms if content["comm_id"] in ("a", "b")] == []


def test_the_magics_work_and_help_themselves(loaded):
    assert "--model" in loaded.run("%nn_watch --help")
    for magic in ("nn_wizard", "nn_check", "nn_insert"):
        assert f"%{magic}" in loaded.run(f"%{magic} --help")
    assert loaded.run("%nn_watch").startswith(
        "inspector = nni.watch(model, optimizer, loss_fn, train_loader=train_loader)"
    )
    assert loaded.run("%nn_check initial_loss").startswith("[ok] initial_loss: ")
    assert loaded.run("%nn_wizard").startswith("Wizard(")
    assert "UsageError" in loaded.run("%nn_check nothing")
    assert "Name a check, for example" in loaded.run("%nn_check")
    message = loaded.client.execute("%nn_insert shuffling")
    reply = loaded.client.get_shell_msg(timeout=30)
    while reply["parent_header"].get("msg_id") != message:
        reply = loaded.client.get_shell_msg(timeout=30)
    (payload,) = reply["content"]["payload"]
    assert payload["source"] == "set_next_input"
    assert 'inspector.check("shuffling")' in payload["text"]


def test_two_models_are_told_apart_by_name(loaded):
    loaded.run("second = nn.Linear(4, 3)\nsecond_optimizer = torch.optim.SGD(second.parameters(), lr=0.1)")
    output = loaded.run("%nn_watch")
    assert "UsageError: There are 2 models: model, second." in output
    assert "inspector2 = nni.watch(second, second_optimizer" in loaded.run("%nn_watch --model second --name inspector2")
    loaded.run("del second, second_optimizer, inspector2")


def test_unloading_leaves_nothing_behind(kernel):
    before = """
import torch.optim.optimizer as o
kernel = get_ipython().kernel
print(sorted(kernel.control_handlers), sorted(kernel.comm_manager.targets), sorted(get_ipython().magics_manager.magics["line"]),
      [len(c) for c in get_ipython().events.callbacks.values()], len(o._global_optimizer_pre_hooks), len(model._forward_hooks))
"""
    kernel.run("import comm, ipywidgets")
    first = kernel.run(before)
    kernel.run("%load_ext nn_inspector\ninspector = nni.watch(model, optimizer, loss_fn, train_loader=train_loader)")
    assert kernel.run(before) != first
    kernel.comms.clear()
    kernel.run("%unload_ext nn_inspector")
    assert kernel.run(before) == first
    assert any(kind == "comm_close" for kind, _ in kernel.comms)


def test_a_kernel_without_us_does_not_answer(kernel):
    with pytest.raises(queue.Empty):
        message = kernel.client.session.msg("nn_inspector_request", {"version": 1, "request": "snapshot"})
        kernel.client.control_channel.send(message)
        kernel.client.get_control_msg(timeout=1)
