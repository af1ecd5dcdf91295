"""A loader with a tqdm bar that shows the latest loss and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from nn_inspector.errors import ArgumentError, InspectorError, describe
from nn_inspector.inspector import Inspector
from nn_inspector.live.publisher import INTERVAL


class ProgressBar:
    """Hands out what a loader hands out, with a new bar for each pass over it.

    The loader is gone over as a loop would do it, so that whoever watches it sees no difference.

    Args:
        inspector: whose numbers to show.
        loader: the user's loader.
        options: for tqdm.
    """

    def __init__(self, inspector: Inspector, loader: Iterable[Any], options: Mapping[str, Any]) -> None:
        if not isinstance(loader, Iterable):
            raise ArgumentError(
                "loader", expected="an iterable of batches", got=describe(loader), advice="Pass your DataLoader."
            )
        self._tqdm = _tqdm()
        self._inspector = inspector
        self._loader = loader
        self._options = {"mininterval": INTERVAL, **options}

    def __len__(self) -> int:
        return len(cast("Any", self._loader))

    def __iter__(self) -> Iterator[Any]:
        bar = self._tqdm(**{"total": self._length(), **self._options})
        try:
            for number, batch in enumerate(self._loader):
                if number == 0 and "desc" not in self._options:
                    bar.set_description(self._pass(), refresh=False)
                yield batch
                self._show(bar)
                bar.update()
        finally:
            self._show(bar)  # of the last batch, whatever the clock says
            bar.close()

    def _show(self, bar: Any) -> None:
        bar.set_postfix(self._inspector.latest, refresh=False)

    def _length(self) -> int | None:
        try:
            return len(self)
        except (TypeError, NotImplementedError, AttributeError):
            return None

    def _pass(self) -> str:
        """Which pass over which loader this is, where that is known."""
        training, epochs = self._inspector.training, self._inspector.run.epochs("train")
        if self._loader is training.val_loader:
            return "validation"
        return f"epoch {epochs[-1].number + 1}" if epochs and self._loader is training.train_loader else ""


def _tqdm() -> Any:
    try:
        from tqdm.auto import tqdm  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise InspectorError(
            'progress: expected the package tqdm, which is not installed. Install it: pip install "nn_inspector[tqdm]".'
        ) from error
    return tqdm
