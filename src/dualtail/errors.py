"""The one exception for mistakes a user can mend."""

import re

_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, which a terminal would obey, and bytes of names that are not UTF-8."""


class UserError(Exception):
    """A mistake in a file, a key or an argument; the message is one line that names it and the fix.

    The command line prints the message without a traceback and exits with status 1.
    """

    def __str__(self) -> str:
        return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], super().__str__())
