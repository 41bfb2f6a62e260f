# A network without pre-training on the images that the foundation models are tuned on (Figure 9).


rule train_scratch:
    input:
        train=lambda w: pack(w.dataset, "train", C.scores.p_groups_from),
        predicted=lambda w: [
            pack(w.dataset, split, C.scores.p_groups_from)
            for split in evaluated(w.dataset)
        ],
    output:
        weights=RUN + "/scratch/{dataset}/{network}/scratch-{loss}-{seed}.safetensors",
        history=RUN + "/scratch/{dataset}/{network}/scratch-{loss}-{seed}.history.csv",
        outputs=RUN + "/outputs/{dataset}/{network}/scratch-{loss}-{seed}.safetensors",
    log:
        RUN + "/logs/train_scratch/{dataset}/{network}/scratch-{loss}-{seed}.log",
    benchmark:
        RUN + "/benchmarks/train_scratch/{dataset}/{network}/scratch-{loss}-{seed}.tsv"
    wildcard_constraints:
        network=r"resnet\d+",
    threads: C.jobs.threads
    resources:
        gpu=gpu,
        mem_mb=memory(C.jobs.mem_mb),
        runtime=C.jobs.runtime,
    params:
        predicted=lambda w, input: shlex.join(
            f"--predict-pack={file}" for file in input.predicted
        ),
        transform=transform_flag(C.scores.p_groups_from),
        loss=lambda w: method_text(C.losses[w.loss].method, C.losses[w.loss].options),
        settings=lambda w: flags(C.scratch.training),
        code=lambda w: code("train-scratch", loss=C.losses[w.loss].method),
    shell:
        "dualtail train-scratch --dataset {wildcards.dataset} --train-pack {input.train:q} {params.predicted}"
        " {params.transform} --loss {params.loss:q} --loss-name {wildcards.loss} --seed {wildcards.seed}"
        " {params.settings} --device {DEVICE} --threads {threads}"
        " --history {output.history:q} --outputs {output.outputs:q} --out {output.weights:q} 2> {log:q}"
