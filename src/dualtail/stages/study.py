"""Stage study: what a run predicts, from its config, as a table."""

from pathlib import Path

from dualtail.config.document import read_config
from dualtail.study import predictions
from dualtail.study_table import write_study


def run(config: Path, out: Path) -> None:
    """Write a row a prediction.

    Raises:
        UserError: a config that cannot be read, with its key.
    """
    write_study(out, predictions(read_config([config])))
