"""Steps of optimizers that compute the loss themselves, by a closure, and of those that do not."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch.optim import Optimizer

from nn_inspector.errors import ExperimentError, describe_error


class Stepper:
    """Makes the steps of one optimizer, with a closure where it needs one.

    It needs one if its `step` cannot be called without (LBFGS). One that could, but fails at once when it is (SAM checks
    it in its first line), gets one from then on.

    Args:
        optimizer: a copy; the gradients of the present batch are there when `step` is called.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        parameters = list(inspect.signature(type(optimizer).step).parameters.values())[1:]
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self._takes_closure = bool(parameters) and parameters[0].kind in kinds
        self._needs_closure = self._takes_closure and parameters[0].default is inspect.Parameter.empty
        self._stepped = False

    def step(self, closure: Callable[[], torch.Tensor]) -> None:
        """Make a step.

        Args:
            closure: computes loss and gradients anew and returns the loss.

        Raises:
            ExperimentError: the optimizer fails.
        """
        with_gradient = torch.enable_grad()(closure)
        try:
            if not self._needs_closure:
                self._try_plain(with_gradient)
            else:
                self._optimizer.step(with_gradient)  # type: ignore[arg-type]  # torch says float; all take a tensor
        except ExperimentError:
            raise
        except Exception as error:
            raise ExperimentError(
                f"A copy of {type(self._optimizer).__name__} could not make a step ({describe_error(error)}). "
                "If your loop calls it with arguments, experiments cannot be made with it."
            ) from error
        self._stepped = True

    def _try_plain(self, closure: Callable[[], torch.Tensor]) -> None:
        try:
            self._optimizer.step()
        except Exception:
            if self._stepped or not self._takes_closure:
                raise
            self._needs_closure = True
            self._optimizer.step(closure)  # type: ignore[arg-type]
