"""The error of the embedded stack that is meant for a person to read."""


class StackError(RuntimeError):
    """A part of the stack cannot start or stop; the message says what is wrong and what to do about it."""
