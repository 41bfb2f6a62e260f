# PEFT tuning on the long-tailed training split, and the tuned model's outputs. One job is one tuning.


def read_by_loss(wildcards):
    """What only some losses read, by the options of `dualtail tune`."""
    w, loss = wildcards, C.losses[wildcards.loss]
    files = {}
    if loss.prior or reads_prior(loss.method):
        files["prior"] = f"{RUN}/priors/{parent(w.dataset)}/{w.member}.csv"
    for option, first in (
        ("retrain_head_of", loss.retrain),
        ("start_from", loss.start),
    ):
        if first is not None:  # the same model, tuned with another loss
            files[option] = (
                f"{RUN}/adapters/{w.dataset}/{w.member}/{w.peft}-{first}-{w.seed}.safetensors"
            )
    if loss.teacher:
        files["teacher"] = [
            f"{RUN}/teachers/{w.dataset}/{member}/{w.peft}-{loss.start}-{w.seed}.safetensors"
            for member in loss.teacher
        ]
    return files


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
        unpack(read_by_loss),
        weights=weights,
        files=model_files,
        train=lambda w: pack(w.dataset, "train", w.member),
        predicted=lambda w: [
            pack(w.dataset, split, w.member) for split in evaluated(w.dataset)
        ],
        text=lambda w: f"{RUN}/foundation/{w.member}/{parent(w.dataset)}.text.safetensors",
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
        files=lambda w, input: named(predict_pack=input.predicted, **read_by_loss(w)),
        settings=lambda w: tuning_flags(w.peft, w.loss, parent(w.dataset)),
        code=lambda w: code(
            "tune", peft=C.pefts[w.peft].method, loss=C.losses[w.loss].method
        ),
    shell:
        "dualtail tune {params.model} --dataset {wildcards.dataset} --train-pack {input.train:q}"
        " --text-features {input.text:q} {params.files} {params.settings} --seed {wildcards.seed}"
        " --device {DEVICE} --threads {threads} --outputs {output.outputs:q} --out {output.adapter:q} > {log:q} 2>&1"


# A tuned model's outputs on the images that it was tuned on, as it sees test images, for students.
rule teach:
    input:
        weights=weights,
        files=model_files,
        adapter=RUN + "/adapters/{dataset}/{member}/{peft}-{loss}-{seed}.safetensors",
        train=lambda w: pack(w.dataset, "train", w.member),
    output:
        RUN + "/teachers/{dataset}/{member}/{peft}-{loss}-{seed}.safetensors",
    log:
        RUN + "/logs/teach/{dataset}/{member}/{peft}-{loss}-{seed}.log",
    benchmark:
        RUN + "/benchmarks/teach/{dataset}/{member}/{peft}-{loss}-{seed}.tsv"
    threads: C.jobs.threads
    resources:
        gpu=gpu,
        mem_mb=memory(C.jobs.mem_mb),
        runtime=C.jobs.runtime,
    params:
        model=model_flags,
        peft=lambda w: named(peft=C.pefts[w.peft].method),
        precision=lambda w: C.tuning_of(parent(w.dataset)).precision,
        known_architecture=known_architecture,
        code=lambda w: code("predict", peft=C.pefts[w.peft].method),
    shell:
        "dualtail predict {params.model} --adapter {input.adapter:q} {params.peft} --pack {input.train:q}"
        " --precision {params.precision} --device {DEVICE} --threads {threads} --out {output:q} 2> {log:q}"
