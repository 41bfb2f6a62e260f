# Table 13 and Figure 7: training sets drawn from a pool, counts in the order of the prior or not.

if PLAN.scope.reordered:

    rule reorder:
        input:
            PLAN.reordered.reorder_inputs(),
        output:
            [PATHS.reordered_list(d) for d in PLAN.scope.reordered],
        log:
            PATHS.log("reorder"),
        benchmark:
            PATHS.benchmark("reorder")
        resources:
            mem_mb=at_least(1000),
            runtime=10,
        params:
            settings=as_json(PLAN.reordered.reorder_job()),
            code=PLAN.code("reorder"),
        message:
            "Drawing training sets in the order of the pre-training prior"
        shell:
            "dualtail reorder --settings {params.settings:q} --record {log:q}.json 2> {log:q}"

    rule pack_reordered:
        input:
            lambda wildcards: PLAN.reordered.pack_inputs(wildcards.dataset),
        output:
            packs=PLAN.reordered.pack_outputs("{dataset}"),
            train_counts=PATHS.reordered_counts("{dataset}"),
        log:
            PATHS.log("pack", "{dataset}"),
        benchmark:
            PATHS.benchmark("pack", "{dataset}")
        wildcard_constraints:
            dataset="|".join(PLAN.scope.reordered),
        threads: 2
        resources:
            mem_mb=at_least(1000),
            runtime=240,
        params:
            settings=lambda wildcards: as_json(
                PLAN.reordered.pack_job(wildcards.dataset)
            ),
            code=PLAN.code("pack"),
        message:
            "Packing the training set {wildcards.dataset}"
        shell:
            "dualtail pack --settings {params.settings:q} --threads {threads} --record {log:q}.json 2> {log:q}"
