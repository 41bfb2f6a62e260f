# One command runs everything:  snakemake --cores 2 --resources gpu=1
# Another run:                  snakemake --configfile config/smoke.yaml --cores 2 --resources gpu=1
# One stage by hand:            snakemake -n -p shows the commands; dualtail --help
#
# Read the rules in this order: they are the paper's pipeline.
import atexit
import gc
import sys

from snakemake.utils import min_version

from dualtail.one_run import hold, refuse_what_is_no_file, stop_jobs_at_sigterm
from dualtail.provenance.manifest import write_manifest

min_version("9.0")
# A plan of 5,000 jobs makes millions of objects that stay; looking through them for garbage takes a tenth of it.
gc.set_threshold(100_000, 50, 50)


configfile: "config.yaml"


include: "workflow/common.smk"


report: "workflow/report/workflow.rst"


wildcard_constraints:
    dataset="|".join(map(re.escape, [*C.datasets, *REORDERED])),
    split="train|val|test",
    side=r"\d+",
    corpus="|".join(map(re.escape, CORPORA)),
    member="|".join(map(re.escape, C.foundation)),
    members=r"[\w.]+(\+[\w.]+)*",
    peft="|".join(map(re.escape, C.pefts)),
    loss="|".join(map(re.escape, C.losses)),
    seed=r"\d+",


include: "workflow/rules/world.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/foundation.smk"
include: "workflow/rules/prior.smk"
include: "workflow/rules/tuning.smk"
include: "workflow/rules/fusion.smk"
include: "workflow/rules/explain.smk"
include: "workflow/rules/scratch.smk"
include: "workflow/rules/confounder.smk"
include: "workflow/rules/scores.smk"
include: "workflow/rules/paper.smk"
include: "workflow/rules/studies.smk"
include: "workflow/rules/report.smk"


# Also of a dry run, which would say that there is nothing to be done.
if workflow.is_main_process:
    try:
        outputs = [str(file) for rule in workflow.rules for file in rule.output]
        refuse_what_is_no_file(
            [RUN, WORLD], {Path(file).suffix for file in outputs} - {""}
        )
    except UserError as error:
        raise WorkflowError(str(error))


rule all:
    default_target: True
    input:
        rules.tables.output,
        rules.figures.output,
        rules.summary.output,
        rules.compare.output,
        rules.report.output,
        collect(RUN + "/studies/{study}.md", study=STUDIES),
        RUN + "/figures/world.png" if DRAWN_DATASETS else [],


# No tuning: what untuned models say, the pre-training prior of every model, and the first pictures.
rule quick:
    input:
        collect(
            RUN + "/priors/{dataset}/{member}.csv",
            dataset=C.study.datasets,
            member=C.study.members,
        ),
        RUN + "/studies/prior.md" if "prior" in STUDIES else [],
        RUN + "/figures/world.png" if DRAWN_DATASETS else [],


# What needs no further training, and the controls of config/controls.yaml, which do.
rule studies:
    input:
        collect(RUN + "/studies/{study}.md", study=STUDIES),
        RUN + "/studies/controls.md" if C.studies.controls else [],


# Data that the world draws, and what is made of models: with `collect_scores` and `all` the stages of dvc.yaml.
rule world:
    input:
        collect(WORLD + "/{dataset}/truth.json", dataset=DRAWN_DATASETS),
        [pool_list(parent(dataset)) for dataset in REORDERED],
        [
            corpus_files(C.foundation[member].weights.corpus)
            for member in C.study.members
            if C.foundation[member].weights.corpus is not None
        ],


rule models:
    input:
        collect(
            RUN + "/outputs/{p.dataset}/{p.members}/{p.variant}.safetensors",
            p=list(STUDY.itertuples()),
        ),
        collect(RUN + "/explained/{dataset}/scores.parquet", dataset=C.study.datasets),
        collect(RUN + "/confounder/{test_set}_test.parquet", test_set=CONFOUNDER_SETS),
        collect(
            RUN + "/priors/{dataset}/{member}.csv",
            dataset=C.study.datasets,
            member=C.study.members,
        ),


# One run at a time in a folder that it writes; jobs of a cluster are parts of a run.
onstart:
    if workflow.is_main_process:
        try:
            hold([RUN, *([WORLD] if DRAWS_WORLD else [])])
        except UserError as error:
            raise WorkflowError(str(error))
        stop_jobs_at_sigterm()


onsuccess:
    if workflow.is_main_process:
        write_manifest(RUN)
        if Path(RUN, "index.html").is_file():  # after Snakemake's own last words
            atexit.register(
                print, f"What came out: {RUN}/index.html", file=sys.stderr
            )


onerror:
    if workflow.is_main_process:
        write_manifest(RUN)
