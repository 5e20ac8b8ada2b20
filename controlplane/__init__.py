"""The composition root. Wires, decides nothing.

Celery's application is made with the package, so that tasks sent from any process of the control plane find it.
"""

from controlplane.celery import app as celery_app

__all__ = ["celery_app"]
