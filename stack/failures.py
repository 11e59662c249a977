"""The one error of this package."""


class StackError(Exception):
    """The stack cannot start or go on; the text says what is wrong and how to mend it."""
