# PEFT tuning on the long-tailed training split, and the tuned models' outputs.


for KIND in PLAN.tuning.tune_kinds:

    rule:
        name:
            f"tune{KIND.suffix}"
        input:
            lambda wildcards: PLAN.tuning.tune_inputs(
                PLAN.tuning.cells(PLAN.scope.bundled(wildcards, "tune"))
            ),
        output:
            **PLAN.tuning.tune_outputs(
                PLAN.tuning.cells(PLAN.scope.bundle("tune")), KIND.evaluated
            ),
        log:
            PATHS.log("tune", *PLAN.scope.bundle("tune").label),
        benchmark:
            PATHS.benchmark("tune", *PLAN.scope.bundle("tune").label)
        wildcard_constraints:
            dataset=KIND.pattern,
        threads: JOBS.threads
        resources:
            gpu=JOBS.gpus_per_tuning,
            nodes=1,
            mem_mb=at_least(JOBS.mem_mb),
            runtime=JOBS.runtime,
        params:
            settings=lambda wildcards: as_json(
                PLAN.tuning.tune_job(
                    PLAN.tuning.cells(PLAN.scope.bundled(wildcards, "tune"))
                )
            ),
            code=lambda wildcards: PLAN.code(
                "tune", PLAN.scope.bundled(wildcards, "tune").tunings
            ),
        message:
            "Tuning"
        shell:
            "dualtail tune --settings {params.settings:q} --lanes {threads}"
            " --checkpoint-seconds {JOBS.checkpoint_seconds} --gpus {resources.gpu}"
            " --record {log:q}.json 2> {log:q}"


if PLAN.tuning.variants:

    rule tune_variants:
        input:
            PLAN.tuning.tune_inputs(PLAN.tuning.variants),
        output:
            **PLAN.tuning.tune_outputs(PLAN.tuning.variants),
        log:
            PATHS.log("tune_variants", "all"),
        benchmark:
            PATHS.benchmark("tune_variants", "all")
        threads: JOBS.threads
        resources:
            gpu=JOBS.gpus_per_tuning,
            nodes=1,
            mem_mb=at_least(JOBS.mem_mb),
            runtime=JOBS.runtime,
        params:
            settings=as_json(PLAN.tuning.tune_job(PLAN.tuning.variants)),
            code=PLAN.code("tune", [name for _, _, name in PLAN.tuning.variants]),
        message:
            "Tuning the variants"
        shell:
            "dualtail tune --settings {params.settings:q} --lanes {threads}"
            " --checkpoint-seconds {JOBS.checkpoint_seconds} --gpus {resources.gpu}"
            " --record {log:q}.json 2> {log:q}"
