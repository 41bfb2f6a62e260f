# One tidy score table from all dumps; everything in tables and figures is read from it.


for DATASET in PLAN.scope.datasets:
    if PLAN.dumps.knn_dumps(DATASET):

        rule:
            name:
                f"knn_{DATASET}"
            input:
                queries=PLAN.dumps.knn_sources(DATASET, "test"),
                bank=PLAN.dumps.knn_sources(DATASET, "val"),
            output:
                PLAN.dumps.knn_dumps(DATASET),
            log:
                PATHS.log("knn", DATASET),
            benchmark:
                PATHS.benchmark("knn", DATASET)
            threads: 2
            resources:
                mem_mb=at_least(2000),
                runtime=60,
            params:
                settings=PLAN.scores.knn_flags(DATASET),
                code=PLAN.code("knn"),
            message:
                "Nearest neighbors of features"
            shell:
                "dualtail knn {input.queries:q} {params.settings} --record {log:q}.json 2> {log:q}"


rule score:
    input:
        dumps=lambda wildcards: PLAN.dumps.scored_dumps(wildcards.dataset),
        validation=lambda wildcards: PLAN.dumps.validation_dumps(wildcards.dataset),
        train_counts=lambda wildcards: PLAN.scope.train_counts(wildcards.dataset),
        prior=lambda wildcards: PATHS.prior(
            PLAN.scope.parent(wildcards.dataset), PLAN.config.scores.p_groups_from
        ),
        group_counts=lambda wildcards: PLAN.scores.group_counts(wildcards.dataset),
    output:
        scores=PATHS.scores("{dataset}"),
        class_scores=PATHS.class_scores("{dataset}"),
    log:
        PATHS.log("score", "{dataset}"),
    benchmark:
        PATHS.benchmark("score", "{dataset}")
    resources:
        mem_mb=at_least(4000),
        runtime=60,
    params:
        validation=lambda wildcards, input: [
            f"--validation={v}" for v in input.validation
        ],
        group_counts=lambda wildcards, input: [
            f"--group-counts={c}" for c in input.group_counts
        ],
        settings=PLAN.scores.score_flags(),
        code=PLAN.code("score"),
    message:
        "Scoring all outputs on {wildcards.dataset}"
    shell:
        "dualtail score {input.dumps:q} {params.validation:q} --train-counts {input.train_counts:q}"
        " {params.group_counts:q} --prior {input.prior:q} {params.settings} --class-scores {output.class_scores:q}"
        " --out {output.scores:q} --record {log:q}.json > {log:q} 2>&1"


rule collect:
    input:
        scores=PLAN.scores.score_files(),
        class_scores=PLAN.scores.class_score_files(),
        priors=[
            PATHS.prior_record(d, m)
            for d in PLAN.scope.datasets
            for m in PLAN.scope.members
        ],
        records=PLAN.scores.all_records(),
    output:
        scores=report(
            PATHS.score_csv,
            caption="../report/scores.rst",
            category="Scores",
            labels={"what": "All scores"},
        ),
        score_table=PATHS.score_table,
        class_scores=PATHS.class_score_table,
        costs=PATHS.costs,
        metrics=PATHS.metrics,
    log:
        PATHS.log("collect"),
    benchmark:
        PATHS.benchmark("collect")
    resources:
        mem_mb=at_least(2000),
        runtime=10,
    params:
        settings=as_json(PLAN.scores.collect_job()),
        code=PLAN.code("collect"),
    message:
        "Collecting the score table"
    shell:
        "dualtail collect --settings {params.settings:q} --record {log:q}.json 2> {log:q}"
