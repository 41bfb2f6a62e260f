"""Names and params that do not depend on where the run's folder is.

In the manifest a path in the run's folder begins with `{run}`; others stay as the config gives them
(relative to the project, or absolute). So the folder can be moved, and the record of a job still says
exactly which params Snakemake would compute for it there.
"""

import ast
import json
import re
from collections.abc import Callable
from typing import Any

RUN = "{run}"


class Portable:
    """Translate between paths of this checkout and names in the manifest.

    Attributes:
        root: The run's folder as the workflow writes it, e.g. `results/world`.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        # Only whole paths: not `old/results/world/x`, nor `results/world_2/x`.
        self._inside = re.compile(rf"(?<![\w./-]){re.escape(root)}(?=/)")

    def name(self, path: str) -> str:
        """The manifest's name of a path."""
        return RUN + path[len(self.root) :] if path.startswith(f"{self.root}/") else path

    def path(self, name: str) -> str:
        """The path of a name, here."""
        return self.root + name[len(RUN) :] if name.startswith(f"{RUN}/") else name

    def text(self, text: str) -> str:
        """Replace the run's folder within a text, e.g. a command."""
        return self._inside.sub(RUN, text)

    def text_here(self, text: str) -> str:
        return text.replace(f"{RUN}/", f"{self.root}/")

    def param(self, stored: str) -> dict[str, Any]:
        """One of Snakemake's params (it keeps the `repr` of the value) for the manifest.

        Returns:
            {"settings": ...} of a JSON text, {"value": ...} of another simple value, or {"repr": ...};
            `param_here` gives back the same characters.
        """
        entry: dict[str, Any] = {"repr": stored}
        if RUN in stored:
            return entry
        try:
            value = ast.literal_eval(stored)
        except (ValueError, SyntaxError):
            return entry
        if isinstance(value, str) and value.startswith("{"):
            try:
                entry = {"settings": map_strings(json.loads(value), self.text)}
            except json.JSONDecodeError:
                entry = {"value": self.text(value)}
        else:
            try:
                json.dumps(value)
            except TypeError:
                return entry
            entry = {"value": map_strings(value, self.text)}
        return entry if self.param_here(entry) == stored else {"repr": stored}

    def param_here(self, entry: dict[str, Any]) -> str:
        """What Snakemake would keep of this param if the run's folder is here."""
        if "settings" in entry:
            settings = map_strings(entry["settings"], self.text_here)
            return repr(json.dumps(settings, separators=(",", ":")))
        if "value" in entry:
            return repr(map_strings(entry["value"], self.text_here))
        return entry["repr"]


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """Apply a change to every string (keys too) of a JSON value."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [map_strings(item, change) for item in value]
    if isinstance(value, dict):
        return {change(key): map_strings(item, change) for key, item in value.items()}
    return value
