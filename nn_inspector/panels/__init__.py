"""Views of a run: each panel is one picture, drawn live by bqplot and as a static twin by matplotlib."""
