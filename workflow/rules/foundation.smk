# Foundation models: weights of tags and hub ids, pre-training of the small ones, zero-shot outputs of all.

# The only rule that may use the network, and only with `downloads: true`.
if PLAN.foundation.fetched_here:

    rule fetch_weights:
        output:
            PATHS.weights_record("{member}"),
        log:
            PATHS.log("fetch_weights", "{member}"),
        wildcard_constraints:
            member="|".join(PLAN.foundation.fetched_here),
        # On a cluster too where Snakemake runs: compute nodes are often without a network.
        localrule: True
        params:
            settings=lambda wildcards: as_json(
                PLAN.foundation.fetch_weights_job(wildcards.member)
            ),
            code=PLAN.code("fetch-weights"),
        message:
            "Finding the weights of {wildcards.member}"
        shell:
            "dualtail fetch-weights --settings {params.settings:q} --record {log:q}.json 2> {log:q}"


if PLAN.scope.pretrained_here:

    rule pretrain:
        input:
            lambda wildcards: PLAN.foundation.pretrain_inputs(
                PLAN.scope.bundled(wildcards, "pretrain").members
            ),
        output:
            weights=[PATHS.weights(m) for m in PLAN.scope.bundle("pretrain").members],
            histories=[
                PATHS.pretraining_history(m)
                for m in PLAN.scope.bundle("pretrain").members
            ],
        log:
            PATHS.log("pretrain", *PLAN.scope.bundle("pretrain").label),
        benchmark:
            PATHS.benchmark("pretrain", *PLAN.scope.bundle("pretrain").label)
        threads: JOBS.threads
        resources:
            gpu=1,
            mem_mb=at_least(JOBS.mem_mb),
            runtime=JOBS.runtime,
        params:
            settings=lambda wildcards: as_json(
                PLAN.foundation.pretrain_job(
                    PLAN.scope.bundled(wildcards, "pretrain").members
                )
            ),
            code=PLAN.code("pretrain"),
        message:
            "Pre-training the foundation models on their corpora"
        shell:
            "dualtail pretrain --settings {params.settings:q} --lanes {threads}"
            " --checkpoint-seconds {JOBS.checkpoint_seconds} --record {log:q}.json 2> {log:q}"


rule zero_shot:
    input:
        lambda wildcards: PLAN.foundation.zero_shot_inputs(
            PLAN.scope.bundled(wildcards, "zero_shot").members
        ),
    output:
        [
            PATHS.zero_shot_outputs(d, m, s)
            for m in PLAN.scope.bundle("zero_shot").members
            for d in PLAN.scope.datasets
            for s in PLAN.scope.zero_shot_splits_of(d)
        ],
    log:
        PATHS.log("zero_shot", *PLAN.scope.bundle("zero_shot").label),
    benchmark:
        PATHS.benchmark("zero_shot", *PLAN.scope.bundle("zero_shot").label)
    threads: JOBS.threads
    resources:
        gpu=1,
        mem_mb=at_least(JOBS.mem_mb),
        runtime=JOBS.runtime,
    params:
        settings=lambda wildcards: as_json(
            PLAN.foundation.zero_shot_job(
                PLAN.scope.bundled(wildcards, "zero_shot").members
            )
        ),
        code=PLAN.code("zero-shot"),
    message:
        "Zero-shot outputs"
    shell:
        "dualtail zero-shot --settings {params.settings:q} --lanes {threads} --record {log:q}.json 2> {log:q}"
