"""The embedded stack: everything Coxswain needs on one machine, started and supervised by `cox up`.

Linux only: children are tied to their parent by ``PR_SET_PDEATHSIG`` and identified by ``/proc``.
"""
