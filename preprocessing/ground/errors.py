"""The one error a user can cause."""


class InputError(ValueError):
    """A bad file, key or setting: one line that names it and says what to do. The CLI exits with 2."""
