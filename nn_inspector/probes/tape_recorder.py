"""Notes in the first steps how the loop computes its loss, so that experiments can compute it in the same way."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from nn_inspector.probes.call_facts import function_name
from nn_inspector.probes.outputs import all_tensors
from nn_inspector.probes.recorded_steps import RecordedSteps, Recording
from nn_inspector.probes.recorder import Recorder
from nn_inspector.probes.scaling import is_scaling
from nn_inspector.probes.tape import ModuleCall, Named, Tape
from nn_inspector.probes.tape_draft import Draft
from nn_inspector.probes.tape_making import NotReplayable
from nn_inspector.probes.tape_passes import PASSES, Accumulation, BatchPasses, Passes
from nn_inspector.probes.tape_readings import note_reading
from nn_inspector.probes.tape_sizes import SCALES, with_sizes

_LISTED = 4096
_MOST_OBJECTIVES = 32

_RANDOM = ("rand", "normal_", "bernoulli", "multinomial", "uniform_", "exponential_", "gumbel")
"""Functions with such a name draw random numbers, also on other devices."""

_SAMPLES = frozenset({"multinomial", "bernoulli", "bernoulli_", "normal", "poisson", "binomial"})
"""Functions that draw from what they are given."""

_LAYERS = frozenset(
    {"linear", "embedding", "conv1d", "conv2d", "conv3d", "lstm", "gru", "rnn_tanh", "batch_norm", "layer_norm"}
)
"""What modules with weights call."""

_SETTERS = frozenset({"requires_grad_", "setitem", "detach_", "retain_grad", "register_hook"})


class TapeRecorder:
    """Is told what happens between a batch and the optimizer's step, and makes a `Tape` of it.

    An error of ours ends the recording and is kept in `failure`. Tensors of the user are held while a pass is noted, and
    let go when the optimizer steps.

    Args:
        recorder: measures nothing while a program is checked.
        model: the user's network.
        loss_fn: the user's loss, or None.
        train_loader: the user's; of a list the batches are known.
        has_gradient: whether there are gradients now.

    Attributes:
        parts_are_called: whether the loop seems to call parts of the model itself.
        passes: what takes the passes that were noted, and makes the program of them.
        failure: an error of our own.
    """

    def __init__(
        self,
        recorder: Recorder,
        model: nn.Module,
        loss_fn: object,
        train_loader: object,
        has_gradient: Callable[[], bool],
    ) -> None:
        self._recorder = recorder
        self._model = model
        self._loss_fn = loss_fn
        self._listed: Sequence[Any] = train_loader if isinstance(train_loader, list | tuple) else ()
        self._has_gradient = has_gradient
        self.parts_are_called = False
        self._own_steps = RecordedSteps() if train_loader is None else None
        self.accumulation = Accumulation()
        self.passes: Passes = self._own_steps if self._own_steps is not None else BatchPasses(self.accumulation)
        self._steps = 0
        self._batches = 0
        self.failure: Exception | None = None
        self._done = False
        self._draft: Draft | None = None
        self._before: Mapping[int, weakref.ref[torch.Tensor]] = {}
        self._places: dict[int, int] = {}
        self._listed_number: int | None = None
        self._inside: list[tuple[ModuleCall, Any]] = []
        self._looks_into_loss = False
        self._versions: list[tuple[torch.Tensor, int]] = []
        self._random_state = torch.empty(0)
        self._is_scaled = False
        self._backwards = 0
        self._is_first_backward = True

    @property
    def tape(self) -> Tape | None:
        """The program of the whole loop, as far as there is one by now."""
        return self.passes.tape

    @property
    def steps_seen(self) -> Recording | None:
        """The first steps of a loop without a loader; None where there is one, or they cannot be repeated."""
        return self._own_steps.recording if self._own_steps is not None else None

    @property
    def reason(self) -> str | None:
        """Why there is no program, in one sentence; None where there is one, or where it is too early to say."""
        has_come = self._batches or not self.passes.has_batch
        if self.passes.reason is None and self.tape is None and self._steps > PASSES and not has_come:
            return "Its batches do not come from train_loader, as far as was seen."
        return self.passes.reason

    @property
    def recording(self) -> bool:
        """Whether a pass is being noted."""
        return self._draft is not None and not self._draft.closed and not self._inside

    @property
    def inside(self) -> bool:
        """Whether the model, a part of it or the loss is running."""
        return bool(self._inside)

    @property
    def done(self) -> bool:
        """Whether no more is to be noted."""
        return self._done

    def safely(self, method: Callable[..., None], *args: Any) -> None:
        """Call one of the methods below; an error ends the recording."""
        if self._done:
            return
        try:
            method(*args)
        except _NothingToNote:
            pass
        except NotReplayable as answer:
            self._refuse(str(answer))
        except Exception as error:  # noqa: BLE001 - an error of ours never stops a training, nor the rest of the trace
            self.failure = error
            self._refuse("How your loop computes the loss could not be noted.")

    def start_anew(self) -> None:
        """From now on more is seen: what was noted so far is not compared with it."""
        self.passes.start_anew()
        self._draft = None

    # events

    def batch(self, batch: Any, *, seen: bool) -> None:
        """The training loader hands out a batch; `seen` says whether torch functions are reported from here on."""
        self._end_pass()
        self._batches += 1
        draft = self._begin(seen=seen)
        if draft is not None:
            draft.set_batch(batch)

    def other_batch(self) -> None:
        """A loader that is not for training hands out a batch."""
        self._end_pass()
        self._draft = None

    def stepped(self, *, seen: bool, optimizer: int = 0) -> None:
        """An optimizer has made its step, the one of this number among those that are watched."""
        self._steps += 1
        if optimizer and not self.passes.has_batch:
            raise NotReplayable("Several optimizers make steps, each for a loss of its own.")
        self._end_pass()
        self._draft = None
        self.accumulation.passes = max(self.accumulation.passes, self._backwards)
        self._backwards = 0
        if self.passes.done:
            self._finish()
        elif self._listed or not self.passes.has_batch:
            self._find_places()
            self._begin(seen=seen)

    def enter(self, call: ModuleCall, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """The model, one of its modules or the loss is called. A loss that calls the model itself is looked into from then on."""
        if torch._C._current_graph_task_id() != -1:
            return
        if self._draft is None and not self.passes.has_batch:
            self._begin(seen=False)
        if self._draft is None:
            return
        if call.owner == "loss" and self._looks_into_loss:
            return
        if call.owner == "model" and self._inside and self._inside[0][0].owner == "loss":
            self._looks_into_loss = True
            self._draft = None
            return
        given = self._encode_call(args, kwargs) if not self._inside else None
        self._inside.append((call, given))

    def leave(self, call: ModuleCall, output: Any) -> None:
        """It returns."""
        if self._draft is None or torch._C._current_graph_task_id() != -1:
            return
        while self._inside:
            entered, given = self._inside.pop()
            if entered == call:
                if not self._inside and given is not None:
                    name = f"model.{call.name}" if call.name else {"model": "model", "loss": "loss_fn"}[call.owner]
                    self._draft.note(call, name, given, output, keep=True)
                return

    def before(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """A torch function is about to be called."""
        self._versions = [(t, t._version) for t in all_tensors((args, dict(kwargs))) if not t.is_inference()]
        self._random_state = torch.get_rng_state()

    def called(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        """A torch function has been called."""
        draft, versions = self._draft, self._versions
        self._versions = []
        assert draft is not None, "asked for by `recording`"
        name = function_name(func)
        written = tuple(tensor for tensor, version in versions if tensor._version != version)
        if _sets(func, name) and args and isinstance(args[0], torch.Tensor):
            if draft.is_parameter(args[0]) and name != "data":
                return
            written = (*written, args[0])
        if is_scaling(name):
            draft.alias(result, args[0])
            self._is_scaled = True
            return
        for tensor in written:
            draft.touch(tensor)
        if name == "iter" and args and isinstance(args[0], torch.Tensor):
            func, result = _parts_of, result.__reduce__()[1][0]
        if not written and not all_tensors(result):
            note_reading(draft, func, name, args, result)
            return
        if func is self._loss_fn:
            self._note_loss(draft, args, kwargs, result)
            return
        self.parts_are_called |= name in _LAYERS and any(map(draft.is_weight, all_tensors(args)))
        encoded = self._encode_call(args, kwargs)
        draft = self._draft or draft
        given = with_sizes(name, encoded[0], draft.items, asked=draft.asked_size), encoded[1]
        if name in SCALES:
            given = draft.with_numbers(given[0]), given[1]
        draws = self._drew() or any(word in name for word in _RANDOM)
        draft.samples_answers |= name in _SAMPLES and any(map(draft.is_known_of_data, all_tensors(args)))
        keep = draws or func is torch.autograd.grad or "_norm" in name
        draft.note(func, name, given, result, written=written, keep=keep, draws=draws)

    def backward(self, objective: torch.Tensor) -> None:
        """A tensor is about to be the end of a backward pass."""
        draft = self._draft
        self._inside.clear()
        self._backwards += self._is_first_backward
        self._is_first_backward = False
        if draft is None or draft.closed:
            return
        number = draft.number_of(objective)
        if number is not None:
            draft.tensor(objective)
        if number is None or not draft.values[number].reaches:
            if number is None and objective.requires_grad and draft.batch is not None:
                draft.problem = "backward() is called on a tensor that was not seen being computed."
            return
        if objective.numel() != 1:
            raise NotReplayable("backward() is called on several numbers, not on one.")
        if draft.objectives and not self._has_gradient():
            draft.objectives.clear()
        if len(draft.objectives) < _MOST_OBJECTIVES:
            end = number, len(draft.operations)
            if not self._is_scaled:
                with self._recorder.suspend():
                    self.passes.check(draft, end, objective, self._loss_fn)
            draft.objectives.append(end)

    # what is made of them

    def _begin(self, *, seen: bool) -> Draft | None:
        self._inside.clear()
        self._listed_number = None
        self._is_first_backward = True
        if self.passes.done:
            return None
        named: dict[int, tuple[torch.Tensor, Named]] = {}
        owners = [("model", self._model), ("loss", self._loss_fn)]
        for owner, module in reversed(owners):
            if isinstance(module, nn.Module):
                for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                    named[id(tensor)] = tensor, Named(owner, name)  # type: ignore[arg-type]  # one of the two
        self._draft = Draft(named, late=not seen, before=self._before, has_batch=self.passes.has_batch)
        self._before = self._draft.made
        return self._draft

    def _find_places(self) -> None:
        self._places = {id(t): place for place, one in enumerate(self._listed[:_LISTED]) for t in all_tensors(one)}

    def _encode(self, value: Any) -> Any:
        for tensor in all_tensors(value) if self._places else ():
            self._find_in_list(tensor)
        if self._draft is None:
            raise _NothingToNote
        return self._draft.encode(value)

    def _encode_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], Any]:
        """One by one: in `f(*model(x))` Python hands on the tuple that the model returned."""
        return tuple(self._encode(one) for one in args), self._encode(dict(kwargs))

    def _find_in_list(self, tensor: torch.Tensor) -> None:
        place, draft = self._places.get(id(tensor)), self._draft
        if draft is None or place is None or draft.number_of(tensor) is not None:
            return
        if all(tensor is not one for one in all_tensors(self._listed[place])):
            return
        if self._listed_number not in (None, place) and draft.objectives:
            self._end_pass()
            new = self._begin(seen=not draft.late)
            if new is None:
                return
            draft = new
        if self._listed_number is None:
            self._listed_number = place
            self._batches += 1
            draft.set_batch(self._listed[place])
        elif self._listed_number != place:
            draft.problem = "The loop uses several batches at once."

    def _note_loss(self, draft: Draft, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        parameters = inspect.signature(self._loss_fn).parameters  # type: ignore[arg-type]  # it was just called
        defaults = {name: one.default for name, one in parameters.items()}
        options = {name: value for name, value in kwargs.items() if value is not defaults.get(name)}
        draft.note(ModuleCall("loss"), "loss_fn", self._encode_call(args, options), result)

    def _drew(self) -> bool:
        """Whether the function that was just called has drawn random numbers on the host."""
        return not torch.equal(torch.get_rng_state(), self._random_state)

    def _end_pass(self) -> None:
        draft, self._draft = self._draft, None
        if draft is not None:
            self.passes.add(draft)

    def _finish(self) -> None:
        self._done = True
        self._draft = None
        self._places.clear()
        self._inside.clear()
        self._versions = []

    def _refuse(self, reason: str) -> None:
        self.passes.refuse(reason)
        self._finish()


class _NothingToNote(Exception):  # noqa: N818 - nothing is wrong
    """Enough passes have been noted."""


def _sets(func: Callable[..., Any], name: str) -> bool:
    """Whether a function changes its first argument without changing the version of its memory."""
    return name in _SETTERS or (name in ("data", "requires_grad") and getattr(func, "__name__", "") == "__set__")


def _parts_of(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return tensor.unbind(0)
