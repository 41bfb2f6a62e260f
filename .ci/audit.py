"""Known vulnerabilities of the pinned dependencies, where a service that lists them answers.

Run: python .ci/audit.py   (needs uvx; fails only if a vulnerability is found, never for lack of a network)
"""

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[1] / "envs/requirements.lock"
COMMAND = ["uvx", "--quiet", "pip-audit==2.10.1", "--disable-pip", "--require-hashes"]


def found(report: str) -> tuple[int, list[str]]:
    """How many packages were looked up, and a line a vulnerability, from pip-audit's JSON."""
    packages = json.loads(report)["dependencies"]
    audited = [package for package in packages if "vulns" in package]
    lines = [
        f"{p['name']} {p['version']}: {v['id']}, fixed in {', '.join(v['fix_versions']) or 'none'}"
        for p in audited
        for v in p["vulns"]
    ]
    return len(audited), lines


def main() -> None:
    try:
        done = subprocess.run(
            [*COMMAND, "--format", "json", "-r", LOCK], capture_output=True, text=True, timeout=300
        )
        audited, lines = found(done.stdout)
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired):
        audited, lines = 0, []
    if not audited:
        print("not checked: no service that knows vulnerabilities answers here")
    else:
        print(f"{audited} packages checked, {len(lines)} vulnerabilities", *lines, sep="\n")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
