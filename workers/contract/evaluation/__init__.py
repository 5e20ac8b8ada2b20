"""The ``evaluate`` job: a model version measured, alone and against a reference.

``metrics`` is the catalogue of what is measured, ``spec`` the job, ``fit`` what a certain model can take, ``result``
what the job reports.
"""
