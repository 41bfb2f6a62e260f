# One command runs everything:  snakemake --cores 2 --resources gpu=1
# Another run:                  snakemake --configfile config/smoke.yaml --cores 2 --resources gpu=1
# One stage by hand:            dualtail --help
import os

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version, validate

from dualtail.config.document import validate_config
from dualtail.errors import UserError
from dualtail.orphan import end_with_parent
from dualtail.plan import Plan, as_json
from dualtail.plan.studies import VERBS as STUDY_VERBS
from dualtail.provenance.workflow import Provenance
from dualtail.workflow_lock import (
    FOLDER,
    folder_to_itself,
    one_run_a_folder,
    stop_jobs_at_sigterm,
)

min_version("9.0")
one_run_a_folder(workflow)


configfile: "config.yaml"


try:
    PLAN = Plan(validate_config(config, workflow.configfiles))
    PLAN.check()
except UserError as error:
    raise WorkflowError(str(error))
# Defaults come from the models; filling them in here would also trip over sections that are null.
validate(config, "workflow/schemas/config.schema.json", set_default=False)
for line in PLAN.paper.left_out():
    logger.info(line)

PATHS = PLAN.paths
RUN = PLAN.config.run
JOBS = PLAN.config.jobs


def at_least(mem_mb):
    """Memory of a job's first attempt; a retry asks for twice, thrice as much."""
    return lambda wildcards, attempt: attempt * mem_mb


report: "workflow/report/workflow.rst"


wildcard_constraints:
    dataset="|".join(PLAN.scope.scored),
    member="|".join(PLAN.scope.members),
    tuning="|".join(t.name for t in PLAN.scope.all_tunings),
    corpus="|".join([*PLAN.scope.corpora, *PLAN.controls.corpora]),
    scratch="|".join(PLAN.scope.scratch_variants),


include: "workflow/rules/world.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/foundation.smk"
include: "workflow/rules/bias.smk"
include: "workflow/rules/tuning.smk"
include: "workflow/rules/explain.smk"
include: "workflow/rules/scratch.smk"
include: "workflow/rules/confounder.smk"
include: "workflow/rules/scores.smk"
include: "workflow/rules/paper.smk"
include: "workflow/rules/reordered.smk"
include: "workflow/rules/studies.smk"
include: "workflow/rules/controls.smk"


rule all:
    default_target: True
    input:
        rules.tables.output,
        rules.figures.output if PLAN.paper.figures else [],
        PATHS.world_picture if PLAN.world.world_datasets else [],
        rules.summary.output,
        rules.compare.output,
        rules.collect.output,
        [
            file
            for name in PLAN.studies.names
            for file in PLAN.studies.files(name).values()
        ],


# The phases of dvc.yaml, in the order of making; `collect` and `all` are the last.
rule world:
    input:
        PLAN.world.drawn_files(),


rule foundation:
    input:
        [PATHS.weights(m) for m in PLAN.scope.pretrained_here],


rule packs:
    input:
        [PATHS.train_counts(d) for d in PLAN.scope.datasets],


rule zero_shot_outputs:
    input:
        [
            PATHS.zero_shot_outputs(d, m, s)
            for d in PLAN.scope.datasets
            for m in PLAN.scope.members
            for s in PLAN.scope.zero_shot_splits_of(d)
        ],


rule priors:
    input:
        [PATHS.prior(d, m) for d in PLAN.scope.datasets for m in PLAN.scope.members],


rule tuning:
    input:
        PLAN.dumps.on_all_splits(PLAN.dumps.tuned_dumps),


rule combined_outputs:
    input:
        PLAN.dumps.on_all_splits(PLAN.dumps.combined_dumps),
        [dump for d in PLAN.scope.datasets for dump in PLAN.dumps.knn_dumps(d)],


rule explanations:
    input:
        rules.score_explanations.output,


rule from_scratch:
    input:
        PLAN.dumps.on_all_splits(PLAN.dumps.scratch_dumps),
        PLAN.confounder.scores(),


# What needs further pre-training: minutes more.
rule studies:
    input:
        [
            file
            for name in PLAN.studies.names
            for file in PLAN.studies.files(name).values()
        ],
        [PATHS.study("controls", suffix) for suffix in ("csv", "md")]
        if PLAN.controls.settings
        else [],


# No tuning: zero-shot outputs and the estimated pre-training prior of every model.
rule quick:
    input:
        rules.zero_shot_outputs.input,
        rules.priors.input,


# Files are trusted by what the manifest says of their content, not by their times; docs/artifacts.md.
if workflow.is_main_process:
    if "DVC_STAGE" in os.environ:
        end_with_parent()
    PROVENANCE = Provenance(
        PATHS.root,
        workflow.rules,
        PLAN.config.model_dump(mode="json"),
        workflow.configfiles,
        logger.info,
    )
    try:
        # Not beside a run that is alive: it has done so, and its files change.
        with folder_to_itself(FOLDER.absolute(), logger.info) as alone:
            if alone:
                PROVENANCE.before_planning()
    except UserError as error:
        raise WorkflowError(str(error))


onstart:
    if workflow.touch:
        raise WorkflowError(
            "--touch would pass old results off as new ones. Files that were pulled, copied or moved"
            " are recognized by their hashes without it."
        )
    stop_jobs_at_sigterm()
    PROVENANCE.jobs_begin(
        str(file) for job in workflow.dag.jobs for file in job.input
    )


onsuccess:
    PROVENANCE.jobs_ended()


onerror:
    PROVENANCE.jobs_ended()
