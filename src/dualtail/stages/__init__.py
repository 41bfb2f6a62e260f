"""One module a stage of the workflow: reads files, calls pure functions, writes files.

`run` gets what the options of its verb say. Whatever cannot be read, does not fit or cannot be written is a
UserError that names it.
"""
