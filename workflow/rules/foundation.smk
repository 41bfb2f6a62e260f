# Foundation models: pre-training of the small ones, zero-shot outputs of all.

if PLAN.pretrained_here:

    rule pretrain:
        input:
            lambda wildcards: PLAN.pretrain_inputs(
                PLAN.bundled(wildcards, "pretrain").members
            ),
        output:
            weights=[PATHS.weights(m) for m in PLAN.bundle("pretrain").members],
            histories=[
                PATHS.pretraining_history(m) for m in PLAN.bundle("pretrain").members
            ],
        log:
            PATHS.log("pretrain", *PLAN.bundle("pretrain").label),
        benchmark:
            PATHS.benchmark("pretrain", *PLAN.bundle("pretrain").label)
        threads: JOBS.threads
        resources:
            gpu=1,
            mem_mb=JOBS.mem_mb,
            runtime=JOBS.runtime,
        params:
            settings=lambda wildcards: as_json(
                PLAN.pretrain_job(PLAN.bundled(wildcards, "pretrain").members)
            ),
            code=PLAN.code("pretrain"),
        message:
            "Pre-training the foundation models on their corpora"
        shell:
            "dualtail pretrain --settings {params.settings:q} --lanes {threads} 2> {log:q}"


rule zero_shot:
    input:
        lambda wildcards: PLAN.zero_shot_inputs(
            PLAN.bundled(wildcards, "zero_shot").members
        ),
    output:
        [
            PATHS.outputs(d, m, "zero-shot", s)
            for m in PLAN.bundle("zero_shot").members
            for d in PLAN.datasets
            for s in PLAN.evaluated_of(d)
        ],
    log:
        PATHS.log("zero_shot", *PLAN.bundle("zero_shot").label),
    benchmark:
        PATHS.benchmark("zero_shot", *PLAN.bundle("zero_shot").label)
    threads: JOBS.threads
    resources:
        gpu=1,
        mem_mb=JOBS.mem_mb,
        runtime=JOBS.runtime,
    params:
        settings=lambda wildcards: as_json(
            PLAN.zero_shot_job(PLAN.bundled(wildcards, "zero_shot").members)
        ),
        code=PLAN.code("zero-shot"),
    message:
        "Zero-shot outputs"
    shell:
        "dualtail zero-shot --settings {params.settings:q} --lanes {threads} 2> {log:q}"
