"""Environment variables in the config's paths."""

from pathlib import Path

import pytest

from dualtail.config.paths import expand_variables


def test_variables_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALTAIL_A", "/data/a")
    monkeypatch.delenv("DUALTAIL_B", raising=False)
    assert expand_variables("${DUALTAIL_A}/x") == "/data/a/x"
    assert expand_variables("${DUALTAIL_A:-other}/x") == "/data/a/x"
    assert expand_variables("${DUALTAIL_B:-../other}/x") == "../other/x"
    assert expand_variables("plain/$x") == "plain/$x"
    assert expand_variables(Path("p")) == Path("p")


def test_an_unset_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DUALTAIL_B", raising=False)
    with pytest.raises(ValueError, match="environment variable DUALTAIL_B is not set"):
        expand_variables("${DUALTAIL_B}/x")
