# A network without pre-training on the images that the foundation models are tuned on (Figure 9).

if PLAN.scratch.settings:

    rule train_scratch:
        input:
            PLAN.scratch.inputs(),
        output:
            **PLAN.scratch.outputs(),
        log:
            PATHS.log("train_scratch", PLAN.scratch.label),
        benchmark:
            PATHS.benchmark("train_scratch", PLAN.scratch.label)
        threads: JOBS.threads
        resources:
            gpu=1,
            mem_mb=at_least(JOBS.mem_mb),
            runtime=JOBS.runtime,
        params:
            settings=lambda wildcards: as_json(
                PLAN.scratch.job(PLAN.scratch.bundled(dict(wildcards.items())))
            ),
            code=PLAN.code("train-scratch"),
        message:
            "Training from scratch"
        shell:
            "dualtail train-scratch --settings {params.settings:q} --lanes {threads}"
            " --checkpoint-seconds {JOBS.checkpoint_seconds} --record {log:q}.json 2> {log:q}"
