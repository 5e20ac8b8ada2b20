"""The node's side of Coxswain: joins the cluster, claims allocations, launches and watches ranks, sends what they say.

One process per node: a Celery worker that only receives hints, and threads that do the work and talk to the control
plane over HTTP (``workers.contract.node_api``). It never imports torch; the ranks live in other processes.
"""
