# The embedded world: drawn corpora and datasets with known truth.

if PLAN.world.world_corpora:

    rule generate_corpus:
        output:
            images=f"{PLAN.world.world_corpora}/{{corpus}}/images.zip",
            list=f"{PLAN.world.world_corpora}/{{corpus}}/list.txt",
            class_names=f"{PLAN.world.world_corpora}/{{corpus}}/classnames.txt",
            truth=f"{PLAN.world.world_corpora}/{{corpus}}/truth.json",
            truth_per_image=f"{PLAN.world.world_corpora}/{{corpus}}/truth.csv",
        log:
            PATHS.log("generate_corpus", "{corpus}"),
        benchmark:
            PATHS.benchmark("generate_corpus", "{corpus}")
        resources:
            mem_mb=at_least(1500),
            runtime=10,
        params:
            settings=lambda wildcards: as_json(PLAN.world.corpus_job(wildcards.corpus)),
            code=PLAN.code("generate-corpus"),
        message:
            "Drawing the corpus {wildcards.corpus}"
        shell:
            "dualtail generate-corpus --settings {params.settings:q} --record {log:q}.json 2> {log:q}"


if PLAN.world.world_datasets:

    rule generate_dataset:
        output:
            **{
                name: f"{PLAN.world.world_datasets}/{{dataset}}/{file}"
                for name, file in PLAN.world.world_dataset_files().items()
            },
        log:
            PATHS.log("generate_dataset", "{dataset}"),
        benchmark:
            PATHS.benchmark("generate_dataset", "{dataset}")
        resources:
            mem_mb=at_least(1500),
            runtime=10,
        params:
            settings=lambda wildcards: as_json(
                PLAN.world.dataset_job(wildcards.dataset)
            ),
            code=PLAN.code("generate-dataset"),
        message:
            "Drawing the dataset {wildcards.dataset}"
        shell:
            "dualtail generate-dataset --settings {params.settings:q} --record {log:q}.json 2> {log:q}"

    rule generate_pool:
        output:
            images=f"{PLAN.world.world_datasets}/{{dataset}}/pool.zip",
            list=f"{PLAN.world.world_datasets}/{{dataset}}/pool.txt",
        log:
            PATHS.log("generate_pool", "{dataset}"),
        benchmark:
            PATHS.benchmark("generate_pool", "{dataset}")
        resources:
            mem_mb=at_least(1500),
            runtime=10,
        params:
            settings=lambda wildcards: as_json(
                PLAN.world.dataset_job(wildcards.dataset)
            ),
            code=PLAN.code("generate-pool"),
        message:
            "Drawing the pool of {wildcards.dataset}"
        shell:
            "dualtail generate-pool --settings {params.settings:q} --record {log:q}.json 2> {log:q}"

    rule draw_world:
        output:
            report(
                PATHS.world_picture,
                caption="../report/world.rst",
                category="Figures",
                labels={"figure": "the world"},
            ),
        log:
            PATHS.log("draw_world"),
        benchmark:
            PATHS.benchmark("draw_world")
        resources:
            mem_mb=at_least(500),
            runtime=5,
        params:
            settings=as_json(PLAN.world.world_picture_job()),
            code=PLAN.code("draw-world"),
        message:
            "Drawing some creatures for people"
        shell:
            "dualtail draw-world --settings {params.settings:q} --record {log:q}.json 2> {log:q}"
