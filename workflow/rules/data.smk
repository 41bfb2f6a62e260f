# Image lists and images, whoever made them: checked, decoded once, packed.


rule pack:
    input:
        PLAN.dataset_inputs,
    output:
        packs=[PATHS.pack("{dataset}", s, p) for s in PLAN.splits for p in PLAN.sides],
        train_counts=PATHS.train_counts("{dataset}"),
    log:
        PATHS.log("pack", "{dataset}"),
    benchmark:
        PATHS.benchmark("pack", "{dataset}")
    threads: 2
    resources:
        mem_mb=1000,
        runtime=240,
    params:
        settings=lambda wildcards: as_json(PLAN.pack_job(wildcards.dataset)),
        code=PLAN.code("pack"),
    message:
        "Checking and packing the images of {wildcards.dataset}"
    shell:
        "dualtail pack --settings {params.settings:q} --threads {threads} 2> {log:q}"
