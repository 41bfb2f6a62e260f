# The embedded world: drawn corpora and datasets with known truth.


rule generate_corpus:
    output:
        images=WORLD + "/corpora/{corpus}/images.zip",
        list=WORLD + "/corpora/{corpus}/list.txt",
        class_names=WORLD + "/corpora/{corpus}/classnames.txt",
        truth=WORLD + "/corpora/{corpus}/truth.json",
        truth_per_image=WORLD + "/corpora/{corpus}/truth.csv",
    log:
        RUN + "/logs/generate_corpus/{corpus}.log",
    benchmark:
        RUN + "/benchmarks/generate_corpus/{corpus}.tsv"
    resources:
        mem_mb=memory(1500),
        runtime=10,
    params:
        world=lambda w: flags(C.world.of_corpus(w.corpus)),
        out=lambda w: f"{WORLD}/corpora/{w.corpus}",
        code=code("generate-corpus"),
    shell:
        "dualtail generate-corpus {wildcards.corpus} {params.world}"
        " --out {params.out:q} 2> {log:q}"


rule generate_dataset:
    output:
        multiext(
            WORLD + "/{dataset}/",
            "train.txt",
            "train.zip",
            "val.txt",
            "val.zip",
            "test.txt",
            "test.zip",
            "classnames.txt",
            "pairs.csv",
            "pairs.zip",
            "truth.csv",
            "truth.json",
        ),
    log:
        RUN + "/logs/generate_dataset/{dataset}.log",
    benchmark:
        RUN + "/benchmarks/generate_dataset/{dataset}.tsv"
    resources:
        mem_mb=memory(1500),
        runtime=10,
    params:
        world=lambda w: flags(C.world.of_dataset(w.dataset)),
        out=lambda w: f"{WORLD}/{w.dataset}",
        code=code("generate-dataset"),
    shell:
        "dualtail generate-dataset {wildcards.dataset} {params.world} --out {params.out:q} 2> {log:q}"


# A large balanced training set, from which those of Table 13 are drawn.
rule generate_pool:
    output:
        images=WORLD + "/{dataset}/pool.zip",
        list=WORLD + "/{dataset}/pool.txt",
    log:
        RUN + "/logs/generate_pool/{dataset}.log",
    benchmark:
        RUN + "/benchmarks/generate_pool/{dataset}.tsv"
    resources:
        mem_mb=memory(1500),
        runtime=10,
    params:
        world=lambda w: flags(C.world.of_dataset(w.dataset)),
        out=lambda w: f"{WORLD}/{w.dataset}",
        code=code("generate-pool"),
    shell:
        "dualtail generate-pool {wildcards.dataset} {params.world} --out {params.out:q} 2> {log:q}"


# Some creatures, larger, for people.
rule draw_world:
    output:
        report(
            RUN + "/figures/world.png",
            caption="../report/world.rst",
            category="Figures",
            labels={"figure": "The world"},
        ),
    log:
        RUN + "/logs/draw_world.log",
    benchmark:
        RUN + "/benchmarks/draw_world.tsv"
    resources:
        mem_mb=memory(500),
        runtime=5,
    params:
        world=lambda w: flags(C.world.of_corpora()),
        code=code("draw-world"),
    shell:
        "dualtail draw-world {params.world} --out {output:q} 2> {log:q}"
