# Image lists and images, whoever made them: checked, decoded once, packed.

for DATASET in PLAN.data.made_datasets:

    rule:
        name:
            f"make_lists_{DATASET}"
        input:
            PLAN.data.list_source_files(DATASET),
        output:
            PLAN.data.made_files(DATASET),
        log:
            PATHS.log("make_lists", DATASET),
        benchmark:
            PATHS.benchmark("make_lists", DATASET)
        resources:
            mem_mb=at_least(1500),
            runtime=30,
        params:
            settings=as_json(PLAN.data.lists_job(DATASET)),
            code=PLAN.code("make-lists"),
        message:
            "Making image lists"
        shell:
            "dualtail make-lists --settings {params.settings:q} --record {log:q}.json 2> {log:q}"


for CORPUS in PLAN.data.drawn_corpora:

    rule:
        name:
            f"draw_corpus_{CORPUS}"
        input:
            [
                PLAN.data.draw_corpus_job(CORPUS).sample.list,
                PLAN.data.draw_corpus_job(CORPUS).sample.class_names,
            ],
        output:
            [
                PLAN.data.draw_corpus_job(CORPUS).list,
                PLAN.data.draw_corpus_job(CORPUS).class_names,
            ],
        log:
            PATHS.log("draw_corpus", CORPUS),
        benchmark:
            PATHS.benchmark("draw_corpus", CORPUS)
        resources:
            mem_mb=at_least(500),
            runtime=5,
        params:
            settings=as_json(PLAN.data.draw_corpus_job(CORPUS)),
            code=PLAN.code("draw-corpus"),
        message:
            "Drawing a corpus"
        shell:
            "dualtail draw-corpus --settings {params.settings:q} --record {log:q}.json 2> {log:q}"


if PLAN.data.given_datasets:

    rule check_data:
        input:
            PLAN.data.given_files(),
        output:
            PATHS.data_check,
        log:
            PATHS.log("check_data"),
        benchmark:
            PATHS.benchmark("check_data")
        # The first job of a run: what is missing is said before anything else.
        priority: 1
        resources:
            mem_mb=at_least(2000),
            runtime=60,
        params:
            settings=as_json(PLAN.data.check_job(PLAN.data.given_datasets)),
            code=PLAN.code("check-data"),
        message:
            "Checking that lists, class names and images are there"
        shell:
            "dualtail check-data --settings {params.settings:q} --out {output:q} --record {log:q}.json > {log:q} 2>&1"


for KIND in PLAN.scope.split_kinds:

    rule:
        name:
            f"pack{KIND.suffix}"
        input:
            PLAN.data.dataset_inputs,
        output:
            packs=[
                PATHS.pack("{dataset}", s, p)
                for s in KIND.splits
                for p in PLAN.scope.sides
            ],
            train_counts=PATHS.train_counts("{dataset}"),
        log:
            PATHS.log("pack", "{dataset}"),
        benchmark:
            PATHS.benchmark("pack", "{dataset}")
        wildcard_constraints:
            dataset=KIND.pattern,
        threads: 2
        resources:
            mem_mb=at_least(1000),
            runtime=240,
        params:
            settings=lambda wildcards: as_json(PLAN.data.pack_job(wildcards.dataset)),
            code=PLAN.code("pack"),
        message:
            "Checking and packing the images of {wildcards.dataset}"
        shell:
            "dualtail pack --settings {params.settings:q} --threads {threads} --record {log:q}.json 2> {log:q}"
