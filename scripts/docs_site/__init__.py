"""The reference part of the documentation, written from the code at every build."""
