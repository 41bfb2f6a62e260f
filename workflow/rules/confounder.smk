# The six-class study (D.7): images of heads and bodies, and networks trained on two mixtures of them.

if PLAN.confounder.settings:

    rule draw_confounder:
        output:
            PLAN.confounder.image_files(),
        log:
            PATHS.log("draw_confounder"),
        benchmark:
            PATHS.benchmark("draw_confounder")
        resources:
            gpu=1 if PLAN.confounder.settings.stable_diffusion else 0,
            mem_mb=at_least(JOBS.mem_mb),
            runtime=JOBS.runtime,
        params:
            settings=as_json(PLAN.confounder.draw_job()),
            code=PLAN.code("draw-confounder"),
        message:
            "Images of two semantic factors"
        shell:
            "dualtail draw-confounder --settings {params.settings:q} --record {log:q}.json 2> {log:q}"

    rule train_confounder:
        input:
            PLAN.confounder.image_files(),
        output:
            dumps=[PLAN.confounder.dumps(name) for name in PLAN.confounder.sets],
            histories=PLAN.confounder.histories(),
        log:
            PATHS.log("train_confounder"),
        benchmark:
            PATHS.benchmark("train_confounder")
        threads: JOBS.threads
        resources:
            gpu=1,
            mem_mb=at_least(JOBS.mem_mb),
            runtime=JOBS.runtime,
        params:
            settings=as_json(PLAN.confounder.train_job()),
            code=PLAN.code("train-confounder"),
        message:
            "Training on both mixtures of two semantic factors"
        shell:
            "dualtail train-confounder --settings {params.settings:q} --lanes {threads}"
            " --checkpoint-seconds {JOBS.checkpoint_seconds} --record {log:q}.json 2> {log:q}"

    rule score_confounder:
        input:
            lambda wildcards: PLAN.confounder.dumps(wildcards.test_set),
        output:
            scores=PATHS.confounder_scores("{test_set}"),
            class_scores=PATHS.confounder_class_scores("{test_set}"),
        log:
            PATHS.log("score_confounder", "{test_set}"),
        benchmark:
            PATHS.benchmark("score_confounder", "{test_set}")
        wildcard_constraints:
            test_set="|".join(PLAN.confounder.sets),
        resources:
            mem_mb=at_least(1000),
            runtime=10,
        params:
            settings=PLAN.confounder.score_flags(),
            code=PLAN.code("score"),
        message:
            "Scoring on {wildcards.test_set}_test"
        shell:
            "dualtail score {input:q} {params.settings}"
            " --class-scores {output.class_scores:q} --out {output.scores:q} --record {log:q}.json > {log:q} 2>&1"
