"""The error class for bad input, one-line error texts, and the exit codes of all commands."""

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_SKIPPED, EXIT_INTERRUPTED = 1, 2, 3, 130
EXIT_LOST = 4  # a camera or a stream that is live ended by itself
EXIT_PREEMPTED = 143  # 128 + SIGTERM, as a shell reports a process that the signal ended


class InputError(ValueError):
    """A bad file, key or setting: one line that names it and says what to do. The CLI exits with 2."""


class FailedRun(RuntimeError):
    """What ended a job that was right to begin: one line that says what and what to do. The CLI exits with 1."""


def first_line(error: object) -> str:
    """The first line of an error's message, or its type if it has none."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip() if text else type(error).__name__
