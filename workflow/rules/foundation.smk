# Foundation models: weights of tags and hub ids, pre-training of the small ones, zero-shot outputs of all.


def named_weights(member):
    """The tag or hub id of a model, as `fetch-weights` takes it."""
    entry = C.foundation[member]
    return f"--model {shlex.quote(entry.weights.hub or f'{entry.architecture},{entry.weights.tag}')}"


def pretraining_seed(member):
    seed = C.foundation[member].weights.seed
    return C.seed if seed is None else seed


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


rule pretrain:
    input:
        corpus=lambda w: corpus_files(C.foundation[w.member].weights.corpus),
        architecture=architecture_file,
    output:
        weights=RUN + "/foundation/{member}.safetensors",
        history=RUN + "/foundation/{member}.history.csv",
    log:
        RUN + "/logs/pretrain/{member}.log",
    benchmark:
        RUN + "/benchmarks/pretrain/{member}.tsv"
    threads: C.jobs.threads
    resources:
        gpu=gpu,
        mem_mb=memory(C.jobs.mem_mb),
        runtime=C.jobs.runtime,
    params:
        model=lambda w: f"--architecture {C.foundation[w.member].architecture} --member {w.member}",
        side=lambda w: transform(w.member).crop,
        caption=lambda w: C.corpora[C.foundation[w.member].weights.corpus].caption,
        settings=flags(C.pretraining),
        seed=lambda w: pretraining_seed(w.member),
        code=code("pretrain"),
    shell:
        "dualtail pretrain {params.model} --list {input.corpus[0]:q} --class-names {input.corpus[1]:q}"
        " --images {input.corpus[2]:q} --caption {params.caption:q} --side {params.side} {params.settings}"
        " --seed {params.seed} --device {DEVICE} --threads {threads} --checkpoint-seconds {CHECKPOINT_SECONDS}"
        " --history {output.history:q} --out {output.weights:q} 2> {log:q}"


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
        packs=lambda w, input: shlex.join(f"--pack={file}" for file in input.packs),
        code=code("predict"),
    shell:
        "dualtail predict {params.model} {params.packs} --precision {C.tuning.precision}"
        " --device {DEVICE} --threads {threads} --text-features-out {output.text:q}"
        " --out {output.outputs:q} 2> {log:q}"
