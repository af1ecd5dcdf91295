"""Pictures that matplotlib draws."""

import warnings

from matplotlib.figure import Figure

from nn_inspector.history import Chart, curve
from nn_inspector.panels.chart_image import draw, png

DRAWN = Chart("lines", "step", "loss", {"train": curve([2.0, 1.0])})
EMPTY = Chart("lines", "step", "loss", {}, note="Nothing was measured, for a reason that takes long to explain. " * 4)


def test_a_long_note_in_place_of_a_picture_leaves_the_others_their_room():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a layout that does not come about
        assert png([("drawn", DRAWN), ("not", EMPTY)] * 2).startswith(b"\x89PNG")
    axes = Figure().subplots()
    draw(axes, EMPTY)
    lines = axes.texts[0].get_text().split("\n")
    assert len(lines) > 3
    assert max(map(len, lines)) <= 56
    assert " ".join(lines) == EMPTY.note.strip()


def test_an_odd_number_of_pictures_leaves_no_empty_frame(monkeypatch):
    made, figures = Figure.subplots, []

    def subplots(figure, *shape, **options):
        figures.append(made(figure, *shape, **options))
        return figures[-1]

    monkeypatch.setattr(Figure, "subplots", subplots)
    png([("drawn", DRAWN)] * 3)
    assert [axes.axison for axes in figures[0].flat] == [True, True, True, False]
