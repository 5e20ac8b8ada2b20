"""What apps above this one do when a job ends, in the transaction that ends it. They register in ``AppConfig.ready``.

So jobs need not know what is made of their results: evaluations become rows of versions, promotions are decided.
"""

from collections.abc import Callable

from apps.jobs.models import Job

EndingHandler = Callable[[Job], None]
"""Is given the job in its final state, locked. It must not refuse: what it raises undoes the job's end."""

_HANDLERS: list[EndingHandler] = []


def on_end(handler: EndingHandler) -> None:
    """Have ``handler`` called at the end of every job."""
    if handler not in _HANDLERS:
        _HANDLERS.append(handler)


def tell_of_end(job: Job) -> None:
    """Call what was registered."""
    for handler in _HANDLERS:
        handler(job)
