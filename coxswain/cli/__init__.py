"""The command line, `cox`."""
