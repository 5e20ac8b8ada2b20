"""What replicas of a model exchange, and when: compressed gradients, local training, asynchrony, averaged weights."""
