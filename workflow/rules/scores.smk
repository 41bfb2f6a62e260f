# One tidy score table from all dumps; everything in tables and figures is read from it.

CONFIG_JSON = minimal_json(C)


# The settings of the run in full, without those of jobs: names, labels and settings for tables and figures.
rule resolve_config:
    output:
        RUN + "/config.yaml",
    log:
        RUN + "/logs/resolve_config.log",
    params:
        values=CONFIG_JSON,
    shell:
        "dualtail resolve --json {params.values:q} --out {output:q} 2> {log:q}"


# What is predicted, a line each: it says to verbs which files to read, where a command would be too long.
# It is made again when its lines change, not with every setting: what reads it would be, too.
rule study:
    output:
        RUN + "/study.csv",
    log:
        RUN + "/logs/study.log",
    params:
        lines=sha256_text(STUDY.to_csv())[:16],
    shell:
        "dualtail study --json {CONFIG_JSON:q} --out {output:q} 2> {log:q}"


def group_counts(dataset):
    """What makes a dataset's D-groups, if it is not its training counts."""
    found = PLACES.group_counts(dataset)
    return [] if found is None else [found]


rule score:
    input:
        study=RUN + "/study.csv",
        outputs=collect(
            RUN + "/outputs/{p.dataset}/{p.members}/{p.variant}.safetensors",
            p=lookup(query="dataset == '{dataset}'", within=STUDY),
        ),
        train_counts=RUN + "/packs/{dataset}/train_counts.csv",
        prior=lambda w: f"{RUN}/priors/{parent(w.dataset)}/{C.scores.p_groups_from}.csv",
        group_counts=lambda w: PLACES.inputs(group_counts(w.dataset)),
    output:
        scores=RUN + "/scores/{dataset}.parquet",
        class_scores=RUN + "/scores/{dataset}.classes.parquet",
    log:
        RUN + "/logs/score/{dataset}.log",
    benchmark:
        RUN + "/benchmarks/score/{dataset}.tsv"
    resources:
        mem_mb=memory(4000),
        runtime=60,
    params:
        pattern=lambda w: OUTPUTS,
        groups=lambda w: shlex.join(
            f"--group-counts={file}" for file in group_counts(w.dataset)
        ),
        settings=flags(C.scores, without={"p_groups_from"}),
        run=f"--run {C.run} --seed {C.seed}",
        code=code("score"),
    shell:
        "dualtail score --study {input.study:q} --dataset {wildcards.dataset} --outputs {params.pattern:q}"
        " --train-counts {input.train_counts:q} {params.groups} --prior {input.prior:q} {params.settings}"
        " {params.run} --class-scores {output.class_scores:q} --out {output.scores:q} > {log:q} 2>&1"


# The tables of the run: scores of all datasets, class accuracies, priors, costs, headline numbers.
rule collect_scores:
    input:
        study=RUN + "/study.csv",
        scores=[
            *collect(RUN + "/scores/{dataset}.parquet", dataset=DATASETS),
            *collect(
                RUN + "/explained/{dataset}/scores.parquet", dataset=C.study.datasets
            ),
            *collect(
                RUN + "/confounder/{test_set}_test.parquet", test_set=CONFOUNDER_SETS
            ),
        ],
        class_scores=[
            *collect(RUN + "/scores/{dataset}.classes.parquet", dataset=DATASETS),
            *collect(
                RUN + "/confounder/{test_set}_test.classes.parquet",
                test_set=CONFOUNDER_SETS,
            ),
        ],
        priors=collect(
            RUN + "/priors/{dataset}/{member}.csv",
            dataset=C.study.datasets,
            member=C.study.members,
        ),
        records=collect(
            RUN + "/adapters/{p.dataset}/{p.members}/{p.variant}.json",
            p=lookup(query="kind in ('zero-shot', 'tuned')", within=STUDY),
        ),
    output:
        scores=report(
            RUN + "/scores.csv",
            caption="../report/scores.rst",
            category="Scores",
            labels={"what": "All scores (CSV)"},
        ),
        score_table=RUN + "/scores.parquet",
        class_scores=RUN + "/class_scores.parquet",
        priors=RUN + "/priors.csv",
        costs=RUN + "/costs.csv",
        metrics=RUN + "/metrics.json",
    log:
        RUN + "/logs/collect_scores.log",
    benchmark:
        RUN + "/benchmarks/collect_scores.tsv"
    resources:
        mem_mb=memory(2000),
        runtime=10,
    params:
        class_scores=lambda w, input: shlex.join(
            f"--class-scores={file}" for file in input.class_scores
        ),
        records=lambda w: RUN + "/adapters/{dataset}/{members}/{variant}.json",
        priors=lambda w: RUN + "/priors/{dataset}/{member}.csv",
        code=code("collect"),
    shell:
        "dualtail collect {input.scores:q} {params.class_scores} --study {input.study:q} --priors {params.priors:q}"
        " --records {params.records:q} --run {C.run} --out {RUN:q} 2> {log:q}"
