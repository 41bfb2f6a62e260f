# Several corpora against several seeds of one, with and without visibility bias: models of their own.

if PLAN.controls.settings:

    rule controls_pretrain:
        input:
            PLAN.controls.foundation.pretrain_inputs(PLAN.controls.scope.members),
        output:
            weights=[PATHS.weights(m) for m in PLAN.controls.scope.members],
            histories=[
                PATHS.pretraining_history(m) for m in PLAN.controls.scope.members
            ],
        log:
            PATHS.log("controls_pretrain"),
        benchmark:
            PATHS.benchmark("controls_pretrain")
        threads: JOBS.threads
        resources:
            gpu=1,
            mem_mb=at_least(JOBS.mem_mb),
            runtime=JOBS.runtime,
        params:
            settings=as_json(
                PLAN.controls.foundation.pretrain_job(PLAN.controls.scope.members)
            ),
            code=PLAN.code("pretrain"),
        message:
            "Pre-training models of other seeds and of corpora without bias"
        shell:
            "dualtail pretrain --settings {params.settings:q} --lanes {threads}"
            " --checkpoint-seconds {JOBS.checkpoint_seconds} --record {log:q}.json 2> {log:q}"

    rule controls_tune:
        input:
            PLAN.controls.tuning.tune_inputs(PLAN.controls.cells),
        output:
            **PLAN.controls.tuning.tune_outputs(PLAN.controls.cells),
        log:
            PATHS.log("controls_tune"),
        benchmark:
            PATHS.benchmark("controls_tune")
        threads: JOBS.threads
        resources:
            gpu=1,
            mem_mb=at_least(JOBS.mem_mb),
            runtime=JOBS.runtime,
        params:
            settings=as_json(PLAN.controls.tuning.tune_job(PLAN.controls.cells)),
            code=PLAN.code("tune", [PLAN.controls.variant.name]),
        message:
            "Tuning them"
        shell:
            "dualtail tune --settings {params.settings:q} --lanes {threads}"
            " --checkpoint-seconds {JOBS.checkpoint_seconds} --record {log:q}.json 2> {log:q}"

    rule controls_combine:
        input:
            PLAN.controls.combine_inputs(),
        output:
            PLAN.controls.combine_outputs(),
        log:
            PATHS.log("controls_combine"),
        benchmark:
            PATHS.benchmark("controls_combine")
        resources:
            mem_mb=at_least(2000),
            runtime=60,
        params:
            settings=as_json(PLAN.controls.combine_job()),
            code=PLAN.code("combine"),
        message:
            "Fusing seeds, and corpora without bias"
        shell:
            "dualtail combine --settings {params.settings:q} --record {log:q}.json 2> {log:q}"

    rule study_controls:
        input:
            PLAN.controls.study_inputs(),
        output:
            md=report(
                PATHS.study("controls", "md"),
                caption="../report/study.rst",
                category="Studies",
                labels={"study": "controls", "what": "table"},
            ),
            csv=PATHS.study("controls", "csv"),
        log:
            PATHS.log("study_controls"),
        benchmark:
            PATHS.benchmark("study_controls")
        resources:
            mem_mb=at_least(1000),
            runtime=10,
        params:
            settings=as_json(PLAN.controls.study_job()),
            code=PLAN.code("study-controls"),
        message:
            "Study: several corpora against several seeds"
        shell:
            "dualtail study-controls --settings {params.settings:q} --record {log:q}.json 2> {log:q}"
