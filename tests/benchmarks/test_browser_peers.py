import ast

import pytest

from benchmarks.browser.peers import PEERS, RUN, UPDATES, cell


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("template", [RUN, UPDATES])
def test_a_cell_with_a_peer_is_python_in_which_it_draws(peer, template):
    source = cell(peer, template, seconds=60.0, updates=1500)
    ast.parse(source)
    assert PEERS[peer]["start"] in source
    assert PEERS[peer]["show"] in source
