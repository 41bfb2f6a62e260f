"""Stage study-prior: estimated against true prior, by every estimator. No model, no torch."""

from collections.abc import Sequence
from pathlib import Path

from dualtail.errors import UserError
from dualtail.outputs import header_of, read_outputs
from dualtail.paper.context import PaperContext
from dualtail.paper.layout import write_table
from dualtail.paper.run_config import read_context
from dualtail.paper.style import write_figure
from dualtail.stages.prior import true_prior
from dualtail.studies.prior_recovery import KnownPrior, estimate_all, prior_figure, prior_table


def run(priors: Sequence[tuple[Path, Path, Path]], config: Path, out: Path) -> None:
    """Write prior.csv, prior.md, and the figure under figures/."""
    context = read_context(config, {"seed": int})
    known = [_known(*files, context) for files in priors]
    seen: dict[tuple[str, str], str] = {}
    for one in known:
        key, source = (one.dataset, one.member), one.outputs.source
        if key in seen:
            raise UserError(f"{seen[key]} and {source}: of the same model; give one of them")
        seen[key] = source
    estimates = estimate_all(known, context.config["seed"])
    write_table(prior_table(estimates), out)
    write_figure(prior_figure(estimates), out / "figures")


def _known(dump: Path, true_list: Path, true_names: Path, context: PaperContext) -> KnownPrior:
    """Outputs on the split that q is estimated on, and the true prior."""
    identity = header_of(dump)
    dataset, member = identity.dataset, identity.members_key
    if dataset not in context.datasets or member not in context.members:
        raise UserError(
            f"{dump}: of {member} on {dataset}, which are not in the study of the config"
        )
    if identity.kind != "zero-shot":
        raise UserError(f"{dump}: {identity.predictor}; a prior is estimated on zero-shot outputs")
    outputs = read_outputs(dump, context.prior_split(dataset))
    truth = true_prior(true_list, true_names, outputs.header.class_names)
    return KnownPrior(context.datasets[dataset], context.members[member], outputs, truth)
