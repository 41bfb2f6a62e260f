# Image lists and images, whoever made them: checked, decoded once, packed.


def list_sources(dataset):
    """The files that `make-lists` reads (folders are not tracked)."""
    table = C.datasets[dataset].make_lists.table
    return [] if table is None else [table.table.as_posix(), table.names_table.as_posix()]


def sampled_list(sample):
    """The list that a corpus is drawn from."""
    return (root(sample.dataset) / f"{sample.list}.txt").as_posix()


def pool_list(dataset):
    return (root(dataset) / C.datasets[dataset].reordered.pool.list).as_posix()


def group_counts_file(dataset):
    """What makes a dataset's D-groups, if it is not its training counts."""
    counts = None if dataset in REORDERED else C.datasets[dataset].group_counts
    return [] if counts is None else (root(dataset) / counts).as_posix()


def check_flags(dataset):
    official, counts = entry_of(dataset).official, group_counts_file(dataset)
    is_official = official and dataset not in REORDERED
    return (f"--official {official} " if is_official else "") + (
        f"--group-counts {counts}" if counts else ""
    )


def whole_flags(dataset, split):
    """How training images are packed whole, if random crops are cut from them."""
    crops = C.tuning_of(parent(dataset)).augmentation.crop_scale
    if split != "train" or crops is None:
        return ""
    return f"--whole {values_text(C.packs.model_dump(mode='json'))}"


# From a table of images, a folder a class, or CIFAR-100.
rule make_lists:
    input:
        lambda w: list_sources(w.dataset),
    output:
        directory(RUN + "/lists/{dataset}"),
    log:
        RUN + "/logs/make_lists/{dataset}.log",
    benchmark:
        RUN + "/benchmarks/make_lists/{dataset}.tsv"
    resources:
        mem_mb=memory(1500),
        runtime=30,
    params:
        source=lambda w: flags(C.datasets[w.dataset].make_lists),
        code=code("make-lists"),
    shell:
        "dualtail make-lists {params.source} --out {output:q} 2> {log:q}"


# A corpus with a prior of one's choice, drawn from the lists of a dataset.
rule draw_corpus:
    input:
        lambda w: dataset_files(C.corpora[w.corpus].sample.dataset),
    output:
        list=RUN + "/corpora/{corpus}/list.txt",
        class_names=RUN + "/corpora/{corpus}/classnames.txt",
    log:
        RUN + "/logs/draw_corpus/{corpus}.log",
    benchmark:
        RUN + "/benchmarks/draw_corpus/{corpus}.tsv"
    resources:
        mem_mb=memory(500),
        runtime=5,
    params:
        source=lambda w: sampled_list(C.corpora[w.corpus].sample),
        class_names=lambda w: class_names(C.corpora[w.corpus].sample.dataset),
        sample=lambda w: flags(C.corpora[w.corpus].sample, without={"dataset", "list"}),
        code=code("draw-corpus"),
    shell:
        "dualtail draw-corpus --from {params.source:q} --class-names {params.class_names:q} {params.sample}"
        " --out-list {output.list:q} --out-class-names {output.class_names:q} 2> {log:q}"


# The first job of a dataset: what is missing or wrong is said before anything else.
rule check_dataset:
    input:
        lambda w: dataset_files(w.dataset, *splits(w.dataset)),
    output:
        train_counts=RUN + "/packs/{dataset}/train_counts.csv",
    log:
        RUN + "/logs/check_dataset/{dataset}.log",
    benchmark:
        RUN + "/benchmarks/check_dataset/{dataset}.tsv"
    priority: 1
    resources:
        mem_mb=memory(2000),
        runtime=60,
    params:
        splits=lambda w: shlex.join(
            f"--split={split}={image_list(w.dataset, split)},{images(w.dataset, split)}"
            for split in splits(w.dataset)
        ),
        names=lambda w: names_flags(w.dataset),
        more=lambda w: check_flags(w.dataset),
        code=code("check-dataset"),
    shell:
        "dualtail check-dataset {wildcards.dataset} {params.splits} {params.names} {params.more}"
        " --train-counts {output.train_counts:q} > {log:q} 2>&1"


# Training sets whose counts follow, oppose or ignore the pre-training prior (Table 13, Figure 7).
rule reorder:
    input:
        files=lambda w: [pool_list(w.parent), image_list(w.parent, "train")],
        prior=RUN + "/priors/{parent}/" + C.scores.p_groups_from + ".csv",
    output:
        RUN + "/reordered/{parent}.{order}.{sample}.txt",
    log:
        RUN + "/logs/reorder/{parent}.{order}.{sample}.log",
    benchmark:
        RUN + "/benchmarks/reorder/{parent}.{order}.{sample}.tsv"
    wildcard_constraints:
        parent="|".join(C.study.datasets),
        order="consistency|reverse|balance",
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        seed=C.seed,
        code=code("reorder"),
    shell:
        "dualtail reorder --pool {input.files[0]:q} --train {input.files[1]:q} --prior {input.prior:q}"
        " --order {wildcards.order} --sample {wildcards.sample} --seed {params.seed} --out {output:q} 2> {log:q}"


rule pack:
    input:
        files=lambda w: dataset_files(w.dataset, w.split),
        checked=RUN + "/packs/{dataset}/train_counts.csv",
    output:
        RUN + "/packs/{dataset}/{split}_{side}px.safetensors",
    log:
        RUN + "/logs/pack/{dataset}_{split}_{side}px.log",
    benchmark:
        RUN + "/benchmarks/pack/{dataset}_{split}_{side}px.tsv"
    threads: C.jobs.threads
    resources:
        mem_mb=memory(1000),
        runtime=240,
    params:
        list=lambda w: image_list(w.dataset, w.split),
        images=lambda w: images(w.dataset, w.split),
        names=lambda w: names_flags(w.dataset),
        whole=lambda w: whole_flags(w.dataset, w.split),
        code=code("pack"),
    shell:
        "dualtail pack --dataset {wildcards.dataset} --split {wildcards.split} --list {params.list:q}"
        " --images {params.images:q} {params.names} --side {wildcards.side} {params.whole} --threads {threads}"
        " --out {output:q} 2> {log:q}"
