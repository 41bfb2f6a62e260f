# What models look at: outputs on images with a part hidden, Grad-CAM maps; then, without torch, scores.


rule explain_models:
    input:
        lambda wildcards: PLAN.explain.inputs(
            PLAN.scope.bundled(wildcards, "explain").members
        ),
    output:
        **PLAN.explain.outputs(PLAN.scope.bundle("explain").members),
    log:
        PATHS.log("explain_models", *PLAN.scope.bundle("explain").label),
    benchmark:
        PATHS.benchmark("explain_models", *PLAN.scope.bundle("explain").label)
    threads: JOBS.threads
    resources:
        gpu=1,
        mem_mb=at_least(JOBS.mem_mb),
        runtime=JOBS.runtime,
    params:
        settings=lambda wildcards: as_json(
            PLAN.explain.job(PLAN.scope.bundled(wildcards, "explain").members)
        ),
        code=PLAN.code("explain-models"),
    message:
        "Explaining models"
    shell:
        "dualtail explain-models --settings {params.settings:q} --lanes {threads} --record {log:q}.json 2> {log:q}"


rule score_explanations:
    input:
        PLAN.explain.score_inputs(),
    output:
        dumps=[
            dump
            for dataset in PLAN.scope.datasets
            for dump in PLAN.explain.fused_dumps(dataset)
        ],
        examples=[PATHS.examples(dataset) for dataset in PLAN.scope.datasets],
        scores=PATHS.explanation_scores,
        grad_cam=PATHS.grad_cam,
    log:
        PATHS.log("score_explanations"),
    benchmark:
        PATHS.benchmark("score_explanations")
    resources:
        mem_mb=at_least(2000),
        runtime=30,
    params:
        settings=as_json(PLAN.explain.score_job()),
        code=PLAN.code("score-explanations"),
    message:
        "Scoring explanations"
    shell:
        "dualtail score-explanations --settings {params.settings:q} --record {log:q}.json 2> {log:q}"
