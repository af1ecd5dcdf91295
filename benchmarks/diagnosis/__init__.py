"""Whether a diagnosis names the cause: every broken and every sound training of the tests.

`python -m benchmarks.diagnosis` prints the table, see benchmarks/README.md.
"""
