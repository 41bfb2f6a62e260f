"""What the Snakefile calls: before planning, when jobs begin, at the end."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dualtail.errors import UserError
from dualtail.files import sha256_file, write_text
from dualtail.provenance.adoption import Adoption, State, set_time
from dualtail.provenance.known_files import KnownFiles, signature
from dualtail.provenance.manifest import FILE, Manifest, read_manifest, write_manifest
from dualtail.provenance.portable import Portable
from dualtail.provenance.snakemake_records import FOLDER, SnakemakeRecords
from dualtail.provenance.verify import NO_RESULTS


class Provenance:
    """The provenance of one run within one call of Snakemake.

    Attributes:
        root: The run's folder, as the workflow writes it.
    """

    def __init__(
        self,
        root: str,
        rules: Iterable[Any],
        config: dict[str, Any],
        config_files: Iterable[str],
        tell: Callable[[str], None],
    ) -> None:
        """Look at the rules of a Snakefile, after all are defined.

        Args:
            root: See above.
            rules: Snakemake's.
            config: The resolved config.
            config_files: The files it was merged from.
            tell: Prints a line.
        """
        self.root = root
        self._config = config
        self._config_files = [os.path.relpath(file) for file in config_files]
        self._tell = tell
        self._outputs = Outputs(root, rules)
        self._manifest = Path(root, FILE)
        name = hashlib.sha256(root.encode()).hexdigest()[:16]
        self._state_file = FOLDER / "dualtail" / f"{name}.json"

    def before_planning(self) -> None:
        """Adopt what can be trusted; see `adoption`."""
        adoption, stored = self._open()
        outputs = self._outputs.present()
        if not (adoption.manifest.files or outputs):
            return
        findings = adoption.adopt(outputs)
        for reason, files in _by_reason(findings.distrusted).items():
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            self._tell(f"Making again {files[0]}{more}: {reason}.")
        if findings.adopted:
            self._tell(f"Taken over from {self._manifest}: {len(findings.adopted)} files.")
        if not adoption.manifest.config:
            self._describe(adoption.manifest)
        self._close(adoption, stored, outputs)

    def jobs_begin(self, inputs: Iterable[str]) -> None:
        """Remember what inputs are like before jobs read them, and bring their times to the present.

        Snakemake stops a job whose input is of the future, after it has run.
        """
        adoption, stored = self._open()
        now = time.time_ns()
        for file in set(inputs):
            signed = signature(file)
            if signed is not None and signed[1] > now:
                self._tell(f"{file} was changed in the future: its time is set to now.")
                set_time(adoption.state.known, file, now)
                signed = signature(file)
            if signed is not None:
                adoption.state.before[file] = signed
        self._write_state(adoption.state, stored)

    def jobs_ended(self) -> None:
        """Write what was made into the manifest."""
        adoption, stored = self._open()
        self._describe(adoption.manifest)
        self._close(adoption, stored, self._outputs.present())

    def _describe(self, manifest: Manifest) -> None:
        manifest.config, manifest.config_files = self._config, self._config_files

    def _open(self) -> tuple[Adoption, str]:
        state, stored = _read_state(self._state_file)
        digest = sha256_file(self._manifest) if self._manifest.is_file() else ""
        try:
            manifest = read_manifest(self._manifest) if digest else Manifest()
        except UserError as error:
            self._tell(f"Not used: {error}")
            manifest = Manifest()
        adoption = Adoption(
            manifest, Portable(self.root), SnakemakeRecords(), state, foreign=digest != stored
        )
        return adoption, digest

    def _close(self, adoption: Adoption, digest: str, outputs: Iterable[str]) -> None:
        if adoption.extend(outputs):
            write_manifest(self._manifest, adoption.manifest)
            digest = sha256_file(self._manifest)
        adoption.state.before.clear()  # every job that it was meant for is in the manifest
        adoption.state.known.forget_missing()
        self._write_state(adoption.state, digest)

    def _write_state(self, state: State, digest: str) -> None:
        document = {
            "manifest": digest,
            "known": state.known.stored(),
            "settled": state.settled,
            "before": state.before,
        }
        write_text(self._state_file, json.dumps(document))


def _read_state(path: Path) -> tuple[State, str]:
    """The state of this checkout, and the hash of the manifest that it goes with."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        settled = {file: tuple(entry) for file, entry in found["settled"].items()}
        return State(KnownFiles(found["known"]), settled, found["before"]), found["manifest"]
    except (OSError, ValueError, KeyError, TypeError):
        return State(), ""


def _by_reason(distrusted: dict[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file, reason in sorted(distrusted.items()):
        found.setdefault(reason, []).append(file)
    return found


class Outputs:
    """Which files rules of the workflow make, as far as they are there.

    In the run's folder all files are looked at; elsewhere (the world's data) those where rules write.
    """

    def __init__(self, root: str, rules: Iterable[Any]) -> None:
        self.root = root
        self._files: set[str] = set()
        self._patterns: list[Any] = []
        for rule in rules:
            for output in rule.output:
                if output.contains_wildcard():
                    self._patterns.append(output)
                else:
                    self._files.add(str(output))

    def present(self) -> set[str]:
        folders = {self.root}
        for pattern in self._patterns:
            folders.add(Path(pattern.constant_prefix() + "x").parent.as_posix())
        found = {file for file in self._files if os.path.isfile(file)}
        for folder in _outermost(folders):
            for place, inner, files in os.walk(folder):
                if place == self.root:
                    inner[:] = [name for name in inner if name not in NO_RESULTS]
                paths = (os.path.join(place, name) for name in files if not name.startswith("."))
                found.update(path for path in paths if path not in found and self._made(path))
        return found

    def _made(self, path: str) -> bool:
        return any(pattern.match(path) for pattern in self._patterns)


def _outermost(folders: set[str]) -> list[str]:
    """Without folders that are in another one."""
    return [f for f in sorted(folders) if not any(f.startswith(f"{g}/") for g in folders)]
