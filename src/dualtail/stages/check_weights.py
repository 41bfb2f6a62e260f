"""Stage check-weights: whether weights that the run does not train are there."""

from dualtail.datasets.how_to_get import OWN
from dualtail.errors import UserError
from dualtail.foundation.hub import find_here
from dualtail.foundation.loading import download_name, hub_files
from dualtail.foundation.weights_record import not_here
from dualtail.plan import Plan


def run(plan: Plan) -> tuple[list[str], int]:
    """Check the weights of every member; nothing is loaded.

    Returns:
        Lines for the user and the number of problems.
    """
    lines: list[str] = []
    problems = 0
    for member in plan.scope.members:
        fact, problem = _check_weights(plan, member)
        lines += [f"{member}: {fact}"] if fact else []
        lines += [f"{member}: WRONG  {problem}"] if problem else []
        problems += bool(problem)
    return lines, problems


def _check_weights(plan: Plan, member: str) -> tuple[str, str]:
    """What is there of a model's weights, and what is wrong; "" for nothing to say."""
    weights = plan.config.foundation[member].weights
    if weights.corpus is not None:
        return "", ""
    if weights.path is not None:
        if weights.path.is_file():
            return f"weights are there ({weights.path})", ""
        return "", f"{weights.path}: no such weights file; {OWN}"
    spec = plan.foundation.foundation_spec(member)
    try:
        here = find_here(hub_files(spec))
    except UserError as error:
        return "", str(error)
    if here is not None:
        return f"weights are there ({here[1]})", ""
    if plan.config.downloads:
        return f"the run will download the weights of {download_name(spec)}", ""
    return "", str(not_here(download_name(spec)))
