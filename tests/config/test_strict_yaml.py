"""YAML without surprises: what PyYAML would guess is refused with the line and the cure."""

from pathlib import Path

import pytest

from dualtail.config.strict_yaml import read_yaml
from dualtail.errors import UserError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: 1\nb: {c: 1, c: 2}", r"line 2: key 'c' comes twice, first in line 2"),
        (b"a: 1\nb: 2\na: 3", r"line 3: key 'a' comes twice, first in line 1"),
        (b"epochs: 010", r"line 1: 010 would be read as 8; .*\"010\" for text"),
        (b"epochs: 1:30", r"line 1: 1:30 would be read as 90"),
        (b"label: V\xf6gel", r"not UTF-8 text at byte 8; save it as UTF-8"),
        (b"a: {", "not YAML: "),
        (b"[1, 2]", "must be a mapping of keys to values"),
        (b"a: " + b"[" * 5000, "not a config: nested too deeply"),
        (b"a: 2026-13-45", "not YAML: "),
    ],
)
def test_refused_in_one_line(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "mine.yaml").write_bytes(text)
    with pytest.raises(UserError, match=rf"mine\.yaml: {message}") as refused:
        read_yaml(tmp_path / "mine.yaml")
    assert "\n" not in str(refused.value)


def test_what_is_meant_is_read(tmp_path: Path) -> None:
    text = (
        "\ufeffbase: &b {lr: 0.1}\nmine:\n  <<: *b\n  lr: 1.0e-3\n  n: [0, 10, -3]\n  id: '010'\n"
    )
    (tmp_path / "mine.yaml").write_text(text)
    found = read_yaml(tmp_path / "mine.yaml")
    assert found == {"base": {"lr": 0.1}, "mine": {"lr": 1e-3, "n": [0, 10, -3], "id": "010"}}
