"""The one exception for mistakes a user can mend."""


class UserError(Exception):
    """A mistake in a file, a key or an argument; the message is one line that names it and the fix.

    The command line prints the message without a traceback and exits with status 1.
    """
