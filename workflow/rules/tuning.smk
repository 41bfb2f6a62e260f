# PEFT tuning on the long-tailed training split, and the tuned models' outputs.


for KIND in PLAN.tune_kinds:

    rule:
        name:
            f"tune{KIND.suffix}"
        input:
            lambda wildcards: PLAN.tune_inputs(PLAN.bundled(wildcards, "tune")),
        output:
            **PLAN.tune_outputs(PLAN.bundle("tune"), KIND.evaluated),
        log:
            PATHS.log("tune", *PLAN.bundle("tune").label),
        benchmark:
            PATHS.benchmark("tune", *PLAN.bundle("tune").label)
        wildcard_constraints:
            dataset=KIND.pattern,
        threads: JOBS.threads
        resources:
            gpu=1,
            mem_mb=JOBS.mem_mb,
            runtime=JOBS.runtime,
        params:
            settings=lambda wildcards: as_json(
                PLAN.tune_job(PLAN.bundled(wildcards, "tune"))
            ),
            code=PLAN.code("tune"),
        message:
            "Tuning"
        shell:
            "dualtail tune --settings {params.settings:q} --lanes {threads} 2> {log:q}"
