"""From the config to jobs: which files exist, what makes them, in which process. Pure.

One module a file of rules, with the same name; `scope` and `dumps` are what they share.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

from dualtail.bias.fusion_rules import FUSION_RULES
from dualtail.code_hash import code_hash
from dualtail.config.model import Config
from dualtail.config.section import Section
from dualtail.json_text import json_text
from dualtail.paths import RunPaths
from dualtail.plan.bias import BiasPlan
from dualtail.plan.confounder import ConfounderPlan
from dualtail.plan.controls import ControlsPlan
from dualtail.plan.data import DataPlan
from dualtail.plan.dumps import Dumps
from dualtail.plan.explain import ExplainPlan
from dualtail.plan.foundation import FoundationPlan
from dualtail.plan.paper import PaperPlan
from dualtail.plan.reordered import ReorderedPlan
from dualtail.plan.scope import Scope
from dualtail.plan.scores import ScorePlan
from dualtail.plan.scratch import ScratchPlan
from dualtail.plan.studies import StudiesPlan
from dualtail.plan.tuning import TuningPlan
from dualtail.plan.world import WorldPlan
from dualtail.registry import Registry, sources
from dualtail.tuning.losses import LOSSES
from dualtail.tuning.peft import PEFTS


class Plan:
    """Everything the Snakefile asks of a config.

    Attributes:
        config: The validated config.
        scope: What the run covers.
        dumps: Its files of outputs.
        world, data, foundation, tuning, bias, explain, scratch, confounder, reordered, scores, paper,
        studies, controls: What the rules of one file ask.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.scope = scope = Scope(config)
        self.dumps = Dumps(scope)
        self.world = WorldPlan(scope)
        self.data = DataPlan(scope)
        self.foundation = FoundationPlan(scope, self.data, self.dumps)
        self.tuning = TuningPlan(scope, self.foundation, self.dumps)
        self.bias = BiasPlan(scope, self.data)
        self.explain = ExplainPlan(scope, self.world, self.data, self.foundation, self.bias)
        self.scratch = ScratchPlan(scope, self.dumps)
        self.confounder = ConfounderPlan(scope, self.world)
        self.reordered = ReorderedPlan(scope, self.data)
        self.scores = ScorePlan(scope, self.dumps, self.confounder)
        self.paper = PaperPlan(scope, self.world, self.explain, self.confounder)
        self.studies = StudiesPlan(scope, self.bias, self.explain, self.paper)
        self.controls = ControlsPlan(scope, self.world)

    @cached_property
    def paths(self) -> RunPaths:
        """Where the files of the run are."""
        return self.scope.paths

    def check(self) -> None:
        """Find what only shows when the plan is worked out.

        Raises:
            UserError: folders of the world that do not go together, an architecture file that cannot
                be read.
        """
        _ = self.world.world_corpora, self.world.world_datasets
        for dataset in self.data.made_datasets:
            self.data.made_files(dataset)
        for member in self.scope.members:
            self.foundation.foundation_spec(member)
        self.tuning.check()

    def code(self, verb: str, tunings: Sequence[str] | None = None) -> str:
        """The hash of the code behind one verb, and of what it finds by name in the config.

        Args:
            verb: A key of `STAGES`.
            tunings: `tune` only: the tunings of the job; all of the run if not given.
        """
        modules = [STAGES[verb]]
        if verb == "tables":
            modules += [f"dualtail.paper.tables.table_{number:02d}" for number in self.paper.tables]
        if verb == "figures":
            modules += [
                f"dualtail.paper.figures.figure_{number:02d}" for number in self.paper.figures
            ]
        parts, files = sources(self._parts(verb, tunings))
        return code_hash(modules + parts, files)

    def _parts(self, verb: str, tunings: Sequence[str] | None) -> list[tuple[Registry, str]]:
        """PEFT methods, losses and fusion rules that a verb looks up, in the order of the config."""
        config = self.config
        if verb == "combine":
            return [(FUSION_RULES, config.fusion.rules[m].method) for m in config.fusion.modes]
        if verb == "score-explanations":
            return self._parts("combine", None)
        if verb == "train-scratch" and config.scratch is not None:
            return [(LOSSES, config.losses[config.scratch.loss].method)]
        if verb not in ("tune", "explain-models"):
            return []
        used = [t for t in self.scope.all_tunings if tunings is None or t.name in tunings]
        parts = [(PEFTS, config.pefts[t.peft].method) for t in used]
        if verb == "tune":
            parts += [(LOSSES, config.losses[t.loss].method) for t in used]
        return list(dict.fromkeys(parts))


STAGES: Mapping[str, str] = {
    verb: f"dualtail.stages.{verb.replace('-', '_')}"
    for verb in (
        "generate-corpus",
        "generate-dataset",
        "generate-pool",
        "reorder",
        "draw-world",
        "make-lists",
        "draw-corpus",
        "check-data",
        "pack",
        "fetch-weights",
        "pretrain",
        "zero-shot",
        "prior",
        "tune",
        "train-scratch",
        "draw-confounder",
        "train-confounder",
        "combine",
        "knn",
        "explain-models",
        "score-explanations",
        "score",
        "collect",
        "tables",
        "figures",
        "summary",
        "compare",
        "study-prior",
        "study-interventions",
        "study-fusion",
        "study-controls",
    )
}
"""The module behind every verb of the workflow."""


def as_json(job: Section) -> str:
    """A job as it stands in params and on the command line."""
    return json_text(job.model_dump(mode="json"))
