"""What ends a benchmark early."""


class BenchError(Exception):
    """The benchmark cannot go on; the text says why and, where there is one, the way out."""
