# PEFT tuning on the long-tailed training split, and the tuned model's outputs. One job is one tuning.


def prior_if_read(wildcards):
    """The model's estimated prior q, for losses that read it."""
    loss = C.losses[wildcards.loss]
    if not (loss.prior or reads_prior(loss.method)):
        return []
    return f"{RUN}/priors/{parent(wildcards.dataset)}/{wildcards.member}.csv"


def base_if_retrained(wildcards):
    """The adapter that is kept while a new head is trained (the second stage of GLA-Train, decoupling)."""
    base = C.losses[wildcards.loss].retrain
    if base is None:
        return []
    return f"{RUN}/adapters/{wildcards.dataset}/{wildcards.member}/{wildcards.peft}-{base}-{wildcards.seed}.safetensors"


@functools.cache
def tuning_flags(peft, loss, dataset):
    """The entries of the config and their names; made once for all seeds and models of a study."""
    entries = named(
        peft=method_text(C.pefts[peft].method, C.pefts[peft].options),
        peft_name=peft,
        loss=method_text(C.losses[loss].method, C.losses[loss].options),
        loss_name=loss,
    )
    return f"{entries} {flags(C.tuning_of(dataset))}"


rule tune:
    input:
        weights=weights,
        files=model_files,
        train=lambda w: pack(w.dataset, "train", w.member),
        predicted=lambda w: [
            pack(w.dataset, split, w.member) for split in evaluated(w.dataset)
        ],
        text=lambda w: f"{RUN}/foundation/{w.member}/{parent(w.dataset)}.text.safetensors",
        prior=prior_if_read,
        base=base_if_retrained,
    output:
        adapter=RUN + "/adapters/{dataset}/{member}/{peft}-{loss}-{seed}.safetensors",
        record=RUN + "/adapters/{dataset}/{member}/{peft}-{loss}-{seed}.json",
        history=RUN + "/adapters/{dataset}/{member}/{peft}-{loss}-{seed}.history.csv",
        outputs=RUN + "/outputs/{dataset}/{member}/{peft}-{loss}-{seed}.safetensors",
    log:
        RUN + "/logs/tune/{dataset}/{member}/{peft}-{loss}-{seed}.log",
    benchmark:
        RUN + "/benchmarks/tune/{dataset}/{member}/{peft}-{loss}-{seed}.tsv"
    threads: C.jobs.threads
    resources:
        gpu=gpu,
        mem_mb=memory(C.jobs.mem_mb),
        runtime=C.jobs.runtime,
    params:
        model=model_flags,
        files=lambda w, input: named(
            predict_pack=input.predicted, prior=input.prior, retrain_head_of=input.base
        ),
        settings=lambda w: tuning_flags(w.peft, w.loss, parent(w.dataset)),
        code=lambda w: code(
            "tune", peft=C.pefts[w.peft].method, loss=C.losses[w.loss].method
        ),
    shell:
        "dualtail tune {params.model} --dataset {wildcards.dataset} --train-pack {input.train:q}"
        " --text-features {input.text:q} {params.files} {params.settings} --seed {wildcards.seed}"
        " --device {DEVICE} --threads {threads} --outputs {output.outputs:q} --out {output.adapter:q} 2> {log:q}"
