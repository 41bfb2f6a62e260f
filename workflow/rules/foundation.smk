# Foundation models: weights of tags and hub ids, pre-training of the small ones, zero-shot outputs of all.


def named_weights(member):
    """The tag or hub id of a model, as `fetch-weights` takes it."""
    entry = C.foundation[member]
    return f"--model {shlex.quote(entry.weights.hub or f'{entry.architecture},{entry.weights.tag}')}"


def pretraining_seed(member):
    seed = C.foundation[member].weights.seed
    return C.seed if seed is None else seed


def corpus_of(member):
    """List, class names and images that a model is pre-trained on."""
    return PLACES.corpus(C.foundation[member].weights.corpus)


def corpus_flags(member):
    found = corpus_of(member)
    return shlex.join(
        [
            *("--list", found.list, "--class-names", found.class_names),
            "--images",
            found.images,
        ]
    )


def zero_shot_splits(dataset):
    """The splits that tuned models predict, and the one that q is estimated on."""
    return list(dict.fromkeys([*evaluated(dataset), prior_split(dataset)]))


# The only rule that may use the network, and only with `downloads: true`; on a cluster too where Snakemake runs.
rule fetch_weights:
    output:
        RUN + "/foundation/{member}.weights.json",
    log:
        RUN + "/logs/fetch_weights/{member}.log",
    localrule: True
    params:
        model=lambda w: named_weights(w.member),
        downloads="--download" if C.downloads else "",
        code=code("fetch-weights"),
    shell:
        "dualtail fetch-weights {params.model} {params.downloads} --out {output:q} 2> {log:q}"


# On one core, wherever there is a GPU: these models are small.
rule pretrain:
    input:
        corpus=lambda w: PLACES.inputs(corpus_of(w.member)),
        architecture=architecture_file,
    output:
        weights=RUN + "/foundation/{member}.safetensors",
        history=RUN + "/foundation/{member}.history.csv",
    log:
        RUN + "/logs/pretrain/{member}.log",
    benchmark:
        RUN + "/benchmarks/pretrain/{member}.tsv"
    resources:
        mem_mb=memory(C.jobs.mem_mb),
        runtime=C.jobs.runtime,
    params:
        architecture=lambda w: C.foundation[w.member].architecture,
        corpus=lambda w: corpus_flags(w.member),
        caption=lambda w: C.corpora[C.foundation[w.member].weights.corpus].caption,
        settings=flags(C.pretraining),
        seed=lambda w: pretraining_seed(w.member),
        known_architecture=known_architecture,
        code=code("pretrain"),
    shell:
        "dualtail pretrain --architecture {params.architecture:q} {params.corpus} --caption {params.caption:q}"
        " {params.settings} --seed {params.seed} --out {output.weights:q} 2> {log:q}"


# Outputs of an untuned model, and the text features of the class names that tuned heads start from.
rule zero_shot:
    input:
        weights=weights,
        files=model_files,
        packs=lambda w: [
            pack(w.dataset, split, w.member) for split in zero_shot_splits(w.dataset)
        ],
    output:
        outputs=RUN + "/outputs/{dataset}/{member}/zero-shot.safetensors",
        text=RUN + "/foundation/{member}/{dataset}.text.safetensors",
        record=RUN + "/adapters/{dataset}/{member}/zero-shot.json",
    log:
        RUN + "/logs/zero_shot/{dataset}/{member}.log",
    benchmark:
        RUN + "/benchmarks/zero_shot/{dataset}/{member}.tsv"
    threads: C.jobs.threads
    resources:
        gpu=gpu,
        mem_mb=memory(C.jobs.mem_mb),
        runtime=C.jobs.runtime,
    params:
        model=model_flags,
        packs=lambda w, input: named(pack=input.packs),
        known_architecture=known_architecture,
        code=code("predict"),
    shell:
        "dualtail predict {params.model} {params.packs} --precision {C.tuning.precision}"
        " --device {DEVICE} --threads {threads} --text-features-out {output.text:q}"
        " --record {output.record:q} --out {output.outputs:q} 2> {log:q}"
