"""A whole stack for tests, each process under the test's own hand."""
