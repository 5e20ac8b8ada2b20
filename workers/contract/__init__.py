"""What the control plane, the agents and the runtime say to each other, and nothing else.

Imports pydantic only, so that any process can read it in milliseconds. Every model is frozen and
refuses unknown keys; what is stored carries ``version`` and is upgraded by ``upgrades``.
"""

CONTRACT_VERSION = 1
"""Version of the node protocol. N and N-1 work together; others are refused with the remedy."""
