"""Script jobs on a node: a user of their own, their source, their packages, their launch, what they leave."""
