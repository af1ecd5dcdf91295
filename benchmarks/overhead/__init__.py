"""How much slower a training becomes by being watched: by nn_inspector, and by its peers, in one run.

Start with `python -m benchmarks.overhead`; benchmarks/README.md says what is measured and how.
"""
