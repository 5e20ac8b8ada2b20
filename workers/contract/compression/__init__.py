"""The ``compress`` job: a recipe of methods, applied in order to a model version.

``layers`` says which layers a method takes, ``pruning``, ``quantization`` and ``low_rank`` hold one spec a method,
``recipe`` the job and what makes sense in which order, ``fit`` what a certain model can take, ``result`` what the job
reports.
"""
