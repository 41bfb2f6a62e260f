# Image lists and images, whoever made them: checked, decoded once, packed.


def list_tables(dataset):
    """The files that `make-lists` reads (folders are not tracked)."""
    source = C.datasets[dataset].make_lists
    named = source.table or source.annotations
    return PLACES.inputs([] if named is None else [f.as_posix() for f in named.files])


def pool_list(dataset):
    """What re-ordered training sets are drawn from."""
    return image_list(dataset, POOL)


def names_flags(dataset):
    entry = PLACES.entry(dataset)
    return shlex.join(
        [
            *("--class-names", class_names(dataset)),
            *("--names-format", entry.names_format, "--names", entry.names),
        ]
    )


def checked_files(dataset):
    counts = PLACES.group_counts(dataset)
    files = PLACES.files(dataset, *splits(dataset))
    return PLACES.inputs([*files, *([counts] if counts else [])])


def check_flags(dataset):
    """What a dataset must be beyond whole."""
    official, counts = PLACES.entry(dataset).official, PLACES.group_counts(dataset)
    is_official = official and dataset not in REORDERED
    return shlex.join(
        (["--official", official] if is_official else [])
        + (["--group-counts", counts] if counts else [])
    )


def sampled(corpus):
    """The list that a corpus is drawn from, and its class names."""
    sample = C.corpora[corpus].sample
    return [image_list(sample.dataset, sample.list), class_names(sample.dataset)]


def whole_flags(dataset, split):
    """How training images are packed whole, if random crops are cut from them."""
    crops = C.tuning_of(parent(dataset)).augmentation.crop_scale
    if split != "train" or crops is None:
        return ""
    return shlex.join(["--whole", values_text(C.packs.model_dump(mode="json"))])


# From a table of images, annotations in JSON, one folder per class, or CIFAR-100.
rule make_lists:
    input:
        lambda w: list_tables(w.dataset),
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


# A corpus with a prior of one's choice, drawn from a list of a dataset.
rule draw_corpus:
    input:
        lambda w: PLACES.inputs(sampled(w.corpus)),
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
        source=lambda w: sampled(w.corpus)[0],
        names=lambda w: names_flags(C.corpora[w.corpus].sample.dataset),
        sample=lambda w: flags(C.corpora[w.corpus].sample, without={"dataset", "list"}),
        code=code("draw-corpus"),
    shell:
        "dualtail draw-corpus --from {params.source:q} {params.names} {params.sample}"
        " --out-list {output.list:q} --out-class-names {output.class_names:q} 2> {log:q}"


# The first job of a dataset: what is missing or wrong is said before anything else.
rule check_dataset:
    input:
        lambda w: checked_files(w.dataset),
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
            word
            for split in splits(w.dataset)
            for word in (
                "--split",
                split,
                image_list(w.dataset, split),
                images(w.dataset, split),
            )
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
        lists=lambda w: PLACES.inputs(
            [pool_list(w.parent), image_list(w.parent, "train")]
        ),
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
        pool=lambda w: pool_list(w.parent),
        train=lambda w: image_list(w.parent, "train"),
        seed=C.seed,
        code=code("reorder"),
    shell:
        "dualtail reorder --pool {params.pool:q} --train {params.train:q} --prior {input.prior:q}"
        " --order {wildcards.order} --sample {wildcards.sample} --seed {params.seed} --out {output:q} 2> {log:q}"


rule pack:
    input:
        files=lambda w: PLACES.inputs(
            [image_list(w.dataset, w.split), images(w.dataset, w.split)]
        ),
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
        whole=lambda w: whole_flags(w.dataset, w.split),
        code=code("pack"),
    shell:
        "dualtail pack --dataset {wildcards.dataset} --split {wildcards.split} --list {params.list:q}"
        " --images {params.images:q} --class-names {input.checked:q} --side {wildcards.side} {params.whole}"
        " --threads {threads} --out {output:q} 2> {log:q}"
