# From cached outputs: logit adjustment (Eq. 4), backdoor adjustment (Eq. 7), nearest neighbors. No model, no torch.


def fusion_flags(mode, members):
    """A way to fuse, and P(c) of these members if they are not equal."""
    entry = C.fusion.rules[mode]
    words = ["--mode", method_text(entry.method, entry.options)]
    if entry.weights is not None:
        weights = (str(entry.weights[member]) for member in members)
        words += ["--weights", ",".join(weights)]
    return shlex.join(words)


def fused_splits(folder, dataset):
    """What is fused, if zero-shot outputs have a split more: the training images that q is estimated on."""
    if folder == "explained" or zero_shot_splits(dataset) == evaluated(dataset):
        return ""
    return " ".join(f"--split {split}" for split in evaluated(dataset))


# GLA and its two halves, after the fact, on models tuned with CE (Table 3).
rule adjust:
    input:
        tuned=RUN + "/outputs/{dataset}/{member}/{peft}-ce-{seed}.safetensors",
        zero_shot=RUN + "/outputs/{dataset}/{member}/zero-shot.safetensors",
        prior=RUN + "/priors/{dataset}/{member}.csv",
        train_counts=RUN + "/packs/{dataset}/train_counts.csv",
    output:
        RUN + "/outputs/{dataset}/{member}/{peft}-ce-{seed}-{adjustment}.safetensors",
    log:
        RUN + "/logs/adjust/{dataset}/{member}/{peft}-ce-{seed}-{adjustment}.log",
    benchmark:
        RUN + "/benchmarks/adjust/{dataset}/{member}/{peft}-ce-{seed}-{adjustment}.tsv"
    resources:
        mem_mb=memory(2000),
        runtime=60,
    params:
        code=code("adjust"),
    shell:
        "dualtail adjust {input.tuned:q} --adjustment {wildcards.adjustment} --zero-shot {input.zero_shot:q}"
        " --prior {input.prior:q} --train-counts {input.train_counts:q} --out {output:q} 2> {log:q}"


# Backdoor adjustment; `folder` is outputs, or explained: the same models on images with a part hidden.
rule fuse:
    input:
        lambda w: [
            f"{RUN}/{w.folder}/{w.dataset}/{member}/{w.variant}.safetensors"
            for member in w.members.split("+")
        ],
    output:
        RUN + "/{folder}/{dataset}/{members}/{variant}-{mode}.safetensors",
    log:
        RUN + "/logs/fuse/{folder}/{dataset}/{members}/{variant}-{mode}.log",
    benchmark:
        RUN + "/benchmarks/fuse/{folder}/{dataset}/{members}/{variant}-{mode}.tsv"
    wildcard_constraints:
        folder="outputs|explained",
        members=r"[\w.]+(\+[\w.]+)+",
    resources:
        mem_mb=memory(2000),
        runtime=60,
    params:
        mode=lambda w: fusion_flags(w.mode, w.members.split("+")),
        splits=lambda w: fused_splits(w.folder, w.dataset),
        code=lambda w: code("fuse", fusion=C.fusion.rules[w.mode].method),
    shell:
        "dualtail fuse {input:q} --mode-name {wildcards.mode} {params.mode} {params.splits} --out {output:q} 2> {log:q}"


# How good features are without their head (Table 4): the neighbors of test images among validation images.
rule knn:
    input:
        RUN + "/outputs/{dataset}/{member}/{variant}.safetensors",
    output:
        RUN + "/outputs/{dataset}/{member}/{variant}-knn.safetensors",
    log:
        RUN + "/logs/knn/{dataset}/{member}/{variant}.log",
    benchmark:
        RUN + "/benchmarks/knn/{dataset}/{member}/{variant}.tsv"
    resources:
        mem_mb=memory(2000),
        runtime=60,
    params:
        settings=flags(C.knn),
        code=code("knn"),
    shell:
        "dualtail knn {input:q} --bank-split val --split test {params.settings} --out {output:q} 2> {log:q}"
