"""How a network is judged: its last operations, the loss, and the targets, for the checks of what does not fit between them."""
