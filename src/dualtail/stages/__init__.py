"""One module a stage of the workflow: reads files, calls pure functions, writes files."""
