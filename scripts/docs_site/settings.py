"""The settings, from the one table that the control plane reads."""

from controlplane.settings import environment

_INTRODUCTION = """# Settings

Every setting comes from the environment. `server` marks what web server, scheduler and worker read, `stack` what
`cox up` reads, `client` what the `cox` command and the Python client read, `agent` what a node reads.

"""


def page() -> str:
    """Write the page."""
    return _INTRODUCTION + environment.as_table()
