"""Noise that the loop adds to a batch in place, so that the target is noisy as well, under another name."""

from __future__ import annotations

from dataclasses import dataclass

from nn_inspector.checks.base import Subject
from nn_inspector.checks.data.own_input import OwnInput, own_input
from nn_inspector.checks.loop.reading import Event, Reading
from nn_inspector.checks.loop.source import loop_of
from nn_inspector.errors import ExperimentError
from nn_inspector.probes.tape import BatchPart, Tape


@dataclass(frozen=True, slots=True)
class NoisyTarget:
    """One tensor under two names.

    Attributes:
        given, compared: the names of what the network is given, and of what its answers are compared with.
        seen: what a copy learns if it is told the clean tensor.
        where: the line that adds the noise; None where it is not known.
    """

    given: str
    compared: str
    seen: OwnInput
    where: str | None


def noisy_target(subject: Subject) -> NoisyTarget | None:
    """Whether noise in place spoils the target too; None if it does not, or if the loop asks for its input by name."""
    tape = subject.training.tape
    if tape is None or not _draws_into_a_batch(tape):
        return None
    names = _names(loop_of(subject))
    if names is None:
        return None
    try:
        seen = own_input(subject)
    except ExperimentError:
        return None
    if seen is None or seen.how != "noisy":
        return None
    return NoisyTarget(*names, seen, loop_of(subject).place("inplace"))


def _draws_into_a_batch(tape: Tape) -> bool:
    """Whether a part of the batch is changed in place before the network is given it, in a loss that draws random numbers."""
    parts = {number for number, source in tape.inputs.items() if isinstance(source, BatchPart)}
    return tape.draws and any(not parts.isdisjoint(operation.written) for operation in tape.operations)


def _names(reading: Reading) -> tuple[str, str] | None:
    """What the loop calls the input and the target, where it has one name for each and they differ."""
    forward, loss = _trained(reading, "forward"), _trained(reading, "loss")
    if forward is None or loss is None:
        return None
    given, compared = (
        list(dict.fromkeys(one.options.get(key, ()))) for one, key in ((forward, "names"), (loss, "compared"))
    )
    return (given[0], compared[0]) if len(given) == len(compared) == 1 and given != compared else None


def _trained(reading: Reading, kind: str) -> Event | None:
    """The first of its kind that is written in the loop itself, with gradients."""
    found = [event for event in reading.events if event.kind == kind and not event.no_grad and not event.within]
    return found[0] if found else None
