"""trainable_parameters: does an optimizer step every parameter that should learn?"""

from __future__ import annotations

from collections.abc import Sequence

from nn_inspector.checks.base import Check, CheckInfo, Subject, finding, trial_chart
from nn_inspector.checks.loop.source import loop_of
from nn_inspector.checks.model.fresh import looks_fresh
from nn_inspector.checks.model.giving import give, try_hidden, try_stepped
from nn_inspector.checks.model.random_body import freed
from nn_inspector.checks.model.wiring import Wiring, differs, gradients_on_a_copy, parameters_of, wiring_of
from nn_inspector.checks.race import race
from nn_inspector.checks.symptoms import OF_THE_LOOP
from nn_inspector.errors import ExperimentError
from nn_inspector.history import Evidence, Finding, Remedy, Trial

INFO = CheckInfo(
    name="trainable_parameters",
    stage="model",
    kind="active",
    question="Does an optimizer step every parameter that should learn?",
    why=(
        "An optimizer steps the tensors that it was given, and no others. If the model was rebuilt or got a new head "
        "afterwards, if a group was forgotten, or if layers hide in a plain Python list, then parts of the network stay what "
        "they were at the start. The loss falls a little, or not at all, and nothing complains."
    ),
    how=(
        "The tensors in the optimizers are compared with those of the model, by identity; plain lists and dicts within the "
        "modules are searched for parameters as well. What changed since watch() is stepped by somebody. It is an error if "
        "a layer that gets gradients is stepped by nobody, and is the last layer, or looks as if it had just been made and "
        "learning it too pays off on a copy. A frozen or pre-trained body below a head that learns is fine, unless your training "
        "did badly and a copy that learns the body too gets much further; where the frozen body looks as if nobody had ever trained "
        "it, such a copy is tried, too."
    ),
    remedy=(
        "Build the optimizer last, from model.parameters(), and keep layers in torch.nn.ModuleList or torch.nn.ModuleDict."
    ),
    sources=(
        "Karpathy, A Recipe for Training Neural Networks (2019)",
        "Jiang et al., TrainCheck (OSDI 2025): optimizer and model parameters by identity",
    ),
    explains=(*OF_THE_LOOP, "gradient_flow", "optimizer_step", "update_direction"),
)

_NAMED = 3

_NEW_OPTIMIZER = "# after the model has its final layers\noptimizer = type(optimizer)(model.parameters(), lr=optimizer.param_groups[0]['lr'])"
_ADD_GROUP = (
    "optimizer.add_param_group({{'params': [p for n, p in model.named_parameters() if n.startswith({prefixes})]}})"
)


def look(subject: Subject) -> Finding:
    """Compare what the optimizers hold with what the model consists of."""
    training = subject.training
    wiring = wiring_of(subject)
    if not training.optimizers and not wiring.moved:
        raise ExperimentError(
            "No optimizer was given, and none was seen yet. Pass it to watch(), or run your loop first."
        )
    for judge in (_nothing_held, _replaced, _hidden, _unstepped, _frozen):
        result = judge(subject, wiring)
        if result is not None:
            return result
    return _sound(wiring)


def _nothing_held(subject: Subject, wiring: Wiring) -> Finding | None:
    """The optimizers hold nothing of this model."""
    if not subject.training.optimizers or wiring.stepped or (wiring.elsewhere and not wiring.replaced):
        return None
    if not wiring.trainable:  # an image or a prompt is trained through a frozen network
        return None
    alike = [p.shape for p in wiring.strangers] == [p.shape for p in wiring.parameters.values()]
    whose = (
        "of another copy of this model: it was copied or rebuilt after the optimizer was made" if alike else "of others"
    )
    return finding(
        INFO,
        "error",
        f"No: the optimizer holds none of the model's {len(wiring.parameters)} parameters, but {len(wiring.strangers)} {whose}.",
        evidence=_evidence(wiring),
        remedy=Remedy(
            "Make the optimizer anew from the parameters of the model that you train, or move it after the line that "
            "changes the model.",
            _NEW_OPTIMIZER,
            try_stepped(subject, wiring.trainable),
        ),
        where=loop_of(subject).place("replace", "optimizer") or "optimizer",
        basis="structure",
    )


def _replaced(subject: Subject, wiring: Wiring) -> Finding | None:
    """Some parameters are other tensors than those in the optimizer, which holds the old ones."""
    shapes = [tuple(p.shape) for p in wiring.strangers if p.grad is None or not p.requires_grad]
    new = [
        name
        for name in wiring.trainable
        if name not in wiring.stepped and name not in subject.training.stepped_elsewhere
    ]
    exchanged = [name for name in new if name in wiring.replaced]
    before_watch = [
        name for name in new if name not in wiring.elsewhere and tuple(wiring.parameters[name].shape) in shapes
    ]
    lost = exchanged or (before_watch if wiring.strangers and _are_used(subject, wiring, before_watch) else [])
    if not lost or not wiring.strangers or not subject.training.optimizers:
        return None
    return finding(
        INFO,
        "error",
        f"No: {_named(lost)} got new tensors after the optimizer was made. It still steps the old ones, which nobody uses.",
        evidence=_evidence(wiring),
        remedy=Remedy(
            "Make the optimizer after the model has its final layers, or write into the parameters in place.",
            _NEW_OPTIMIZER,
            try_stepped(subject, lost),
        ),
        where=loop_of(subject).place("replace") or lost[0],
        basis="structure",
    )


def _hidden(subject: Subject, wiring: Wiring) -> Finding | None:
    """Layers in plain lists and dicts, which nobody steps although gradients arrive there."""
    training = subject.training
    held = {id(p) for optimizer in training.optimizers for p in parameters_of(optimizer)}
    before = training.beginning.unregistered
    still = {
        place: p
        for place, p in wiring.hidden.items()
        if id(p) not in held and place in before and not differs(p, before[place])
    }
    reached = [place for place, p in still.items() if p.grad is not None and bool((p.grad != 0).any())]
    if not reached or not subject.run.steps:
        return None
    count = sum(still[place].numel() for place in reached)
    owner = reached[0].partition("[")[0]
    return finding(
        INFO,
        "error",
        f"No: {_named(reached)} stand in a plain list, dict or attribute, where model.parameters() does not see them. "
        f"{count:,} numbers get gradients and are never changed.",
        evidence={**_evidence(wiring), "hidden": float(count)},
        remedy=Remedy(
            "Keep layers in torch.nn.ModuleList or ModuleDict, single tensors as torch.nn.Parameter, and make the optimizer "
            "after that.",
            f"self.{owner.rpartition('.')[2]} = torch.nn.ModuleList(self.{owner.rpartition('.')[2]})  # in __init__ of the model",
            try_hidden(subject, reached),
        ),
        where=reached[0],
        basis="structure",
    )


def _unstepped(subject: Subject, wiring: Wiring) -> Finding | None:
    """Parameters that ask for a gradient and get one, but are in no optimizer."""
    if not subject.training.optimizers or not wiring.stepped or not subject.run.steps:
        return None
    names = _used(subject, wiring, wiring.unstepped)
    if not names or wiring.moved is None:
        return None
    head = last_layer(subject, wiring)
    in_head = [name for name in names if name.rpartition(".")[0] == head]
    if in_head:
        message = f"No: the last layer is not trained. {_named(in_head)} get gradients, but no optimizer holds them."
        return _missing(subject, wiring, "error", in_head, message, try_stepped(subject, names))
    values = subject.training.initial or {}
    fresh = looks_fresh(subject.training.model, values, names)
    trial = try_stepped(subject, names) if fresh else None
    if trial is None or not trial.helped:
        return _left_behind(subject, wiring, names, trial)
    message = (
        f"No: {_named(names)} get gradients, but no optimizer holds them. They are as they were made at the start."
    )
    return _missing(subject, wiring, "error", names, message, trial)


def _left_behind(subject: Subject, wiring: Wiring, names: Sequence[str], trial: Trial | None) -> Finding:
    """Parameters that were trained before, and are not now: on purpose, unless the task cannot be learned without them."""
    said = f"{_named(names)} get gradients, but no optimizer holds them"
    thawed = all(name in subject.training.beginning.frozen for name in names)
    tried = race(subject, lambda copied: give(copied, names))
    if tried is None or tried.severity == "info" or not (thawed or tried.severity == "error"):
        return _missing(subject, wiring, "info", names, f"{said}: they stay as they are.", trial)
    stale = [p for p in wiring.strangers if p.grad is None]
    since = ""
    if thawed:
        since = " They were frozen when watching began, and are not any more: the optimizer does not know."
    elif stale:
        since = f" It holds {len(stale)} that nobody uses: it was made before the model was changed."
    severity = tried.severity if since else "warning"
    return _missing(subject, wiring, severity, names, f"No: {said}.{since} {tried.text}", tried.trial)


def _missing(
    subject: Subject, wiring: Wiring, severity: str, names: Sequence[str], message: str, trial: Trial | None
) -> Finding:
    prefixes = tuple(dict.fromkeys(name.rpartition(".")[0] for name in names))[:_NAMED]
    remedy = Remedy("Give them to the optimizer as well.", _ADD_GROUP.format(prefixes=repr(prefixes)), trial)
    return finding(
        INFO,
        severity,  # type: ignore[arg-type]
        message,
        evidence={**_evidence(wiring), "forgotten": float(len(names))},
        remedy=remedy,
        where=names[0],
        basis="structure",
    )


def _frozen(subject: Subject, wiring: Wiring) -> Finding | None:
    """Frozen parameters: everything, or the last layer alone."""
    elsewhere = wiring.elsewhere | (wiring.moved or frozenset())
    frozen = [n for n, p in wiring.parameters.items() if not p.requires_grad and n not in elsewhere | wiring.reached]
    if not frozen or not subject.run.steps:
        return None
    head = last_layer(subject, wiring)
    in_head = [name for name in frozen if name.rpartition(".")[0] == head]
    everything = len(frozen) == len(wiring.parameters)
    if everything and wiring.stepped:
        message = "No: every parameter is frozen (requires_grad=False), so that no step can change any."
        return _thaw(subject, wiring, "error", frozen, message)
    trained = wiring.stepped - set(frozen)
    fresh = bool(in_head) and looks_fresh(subject.training.model, subject.training.initial or {}, in_head)
    if fresh and trained and wiring.moved is not None:
        message = f"No: the last layer is frozen as it was made at the start ({_named(in_head)}), while others learn."
        return _thaw(subject, wiring, "error", in_head, message)
    return _random_body(subject, wiring, frozen) if trained and not in_head else None


def _random_body(subject: Subject, wiring: Wiring, frozen: Sequence[str]) -> Finding | None:
    """A body that is frozen, and was never trained."""
    tried = freed(subject, frozen)
    if tried is None:
        return None
    message = f"No: {_named(frozen)} are frozen as they were made at the start: nobody has trained them. {tried.text}"
    return _thaw(subject, wiring, tried.severity, frozen, message, tried.trial)


def _thaw(
    subject: Subject, wiring: Wiring, severity: str, names: Sequence[str], message: str, trial: Trial | None = None
) -> Finding:
    prefixes = tuple(dict.fromkeys(name.rpartition(".")[0] for name in names))[:_NAMED]
    code = f"for name, parameter in model.named_parameters():\n    if name.startswith({prefixes!r}):\n        parameter.requires_grad_(True)"
    tried = trial or try_stepped(subject, names)
    remedy = Remedy("Let them learn again, and make the optimizer after that.", code, tried)
    return finding(
        INFO,
        severity,  # type: ignore[arg-type]
        message,
        evidence={**_evidence(wiring), "frozen": float(len(names))},
        remedy=remedy,
        where=loop_of(subject).place("freeze") or names[0],
        basis="structure",
    )


def _sound(wiring: Wiring) -> Finding:
    frozen = len(wiring.parameters) - len(wiring.trainable)
    changed = len([name for name in wiring.trainable if name in wiring.stepped | wiring.elsewhere])
    rest = len(wiring.trainable) - changed
    parts = [f"{changed} of {len(wiring.parameters)} parameters are stepped"]
    parts += [f"{frozen} are frozen"] if frozen else []
    parts += [f"{rest} are not used, or left as they are"] if rest else []
    return finding(INFO, "ok", f"Yes: {', '.join(parts)}.", evidence=_evidence(wiring), basis="structure")


def last_layer(subject: Subject, wiring: Wiring) -> str | None:
    """The layer with parameters that ran last in the first steps; the last one that was registered if that was not seen.

    A layer that hands on no gradient, as a target network or a teacher, says what is right and is not the last one.
    """
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in wiring.parameters))
    ran = [entry.facts for entry in subject.run.trace if entry.call == "module" and entry.step == 0]
    learning = [str(facts["module"]) for facts in ran if facts.get("in_graph", True)]
    last = next((name for name in reversed(learning) if name in layers), None)
    return last if last is not None else (layers[-1] if layers else None)


def _used(subject: Subject, wiring: Wiring, names: Sequence[str]) -> list[str]:
    """Those that a gradient reaches."""
    return [name for name in names if name in wiring.reached] or [
        name for name in names if gradients_on_a_copy(subject).get(name) is not None
    ]


def _are_used(subject: Subject, wiring: Wiring, names: Sequence[str]) -> bool:
    return bool(subject.run.steps and _used(subject, wiring, names))


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _evidence(wiring: Wiring) -> Evidence:
    return {
        "parameters": float(len(wiring.parameters)),
        "trainable": float(len(wiring.trainable)),
        "stepped": float(len(wiring.stepped | wiring.elsewhere)),
        "of_others": float(len(wiring.strangers)),
    }


CHECK = Check(INFO, look, trial_chart)
