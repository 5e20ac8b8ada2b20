"""What people import from Coxswain. Standard library only: a training script must be able to import it anywhere."""

__version__ = "0.1.0"
