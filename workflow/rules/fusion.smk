# From cached outputs: logit adjustment (Eq. 4), backdoor adjustment (Eq. 7), nearest neighbors. No model, no torch.


@functools.cache
def fusion_flags(modes, members):
    """These ways to fuse, each with its name and P(c) of these members."""
    words = []
    for mode in modes:
        entry = C.fusion.rules[mode]
        weights = entry.weights
        if not isinstance(weights, str):
            weights = ",".join(str(weights[m]) for m in members.split("+"))
        words += ["--mode", method_text(entry.method, entry.options)]
        words += ["--mode-name", mode, "--weights", weights]
        words += ["--calibrate" if entry.calibrate else "--no-calibrate"]
    return shlex.join(words)


def fused_splits(dataset):
    """What is fused, if zero-shot outputs have a split more: the training images that q is estimated on."""
    if zero_shot_splits(dataset) == evaluated(dataset):
        return ""
    return " ".join(f"--split {split}" for split in evaluated(dataset))


# GLA, its two halves, and it with two scales, after the fact, on models tuned with CE (Table 3).
rule adjust:
    input:
        tuned=RUN + "/outputs/{dataset}/{member}/{peft}-ce-{seed}.safetensors",
        zero_shot=RUN + "/outputs/{dataset}/{member}/zero-shot.safetensors",
        prior=RUN + "/priors/{dataset}/{member}.csv",
        train_counts=RUN + "/packs/{dataset}/train_counts.csv",
    output:
        gla=RUN + "/outputs/{dataset}/{member}/{peft}-ce-{seed}-gla.safetensors",
        gla_zs=RUN + "/outputs/{dataset}/{member}/{peft}-ce-{seed}-gla-zs.safetensors",
        gla_ft=RUN + "/outputs/{dataset}/{member}/{peft}-ce-{seed}-gla-ft.safetensors",
        gla_scaled=RUN
        + "/outputs/{dataset}/{member}/{peft}-ce-{seed}-gla-scaled.safetensors",
    log:
        RUN + "/logs/adjust/{dataset}/{member}/{peft}-ce-{seed}.log",
    benchmark:
        RUN + "/benchmarks/adjust/{dataset}/{member}/{peft}-ce-{seed}.tsv"
    resources:
        mem_mb=memory(2000),
        runtime=60,
    params:
        code=code("adjust"),
    shell:
        "dualtail adjust {input.tuned:q} --zero-shot {input.zero_shot:q} --prior {input.prior:q}"
        " --train-counts {input.train_counts:q} --adjustment gla --out {output.gla:q}"
        " --adjustment gla-zs --out {output.gla_zs:q} --adjustment gla-ft --out {output.gla_ft:q}"
        " --adjustment gla-scaled --out {output.gla_scaled:q} 2> {log:q}"


# Backdoor adjustment in every mode.
rule fuse:
    input:
        lambda w: [
            f"{RUN}/outputs/{w.dataset}/{member}/{w.variant}.safetensors"
            for member in w.members.split("+")
        ],
    output:
        collect(
            RUN + "/outputs/{dataset}/{members}/{variant}-{mode}.safetensors",
            mode=C.fusion.modes,
            allow_missing=True,
        ),
    log:
        RUN + "/logs/fuse/outputs/{dataset}/{members}/{variant}.log",
    benchmark:
        RUN + "/benchmarks/fuse/outputs/{dataset}/{members}/{variant}.tsv"
    wildcard_constraints:
        members=r"[\w.]+(\+[\w.]+)+",
    resources:
        mem_mb=memory(2000),
        runtime=60,
    params:
        modes=lambda w: fusion_flags(tuple(C.fusion.modes), w.members),
        splits=lambda w: fused_splits(w.dataset),
        outs=lambda w, output: named(out=output),
        code=code("fuse", modes=tuple(C.fusion.modes)),
    shell:
        "dualtail fuse {input:q} {params.modes} {params.splits} {params.outs} 2> {log:q}"


# The rival of fusing several models at the same cost: one model tuned with several seeds.
rule ensemble:
    input:
        lambda w: [
            f"{RUN}/outputs/{w.dataset}/{w.member}/{w.peft}-{w.loss}-{seed}.safetensors"
            for seed in C.seeds_of(w.peft)
        ],
    output:
        RUN + "/outputs/{dataset}/{member}/{peft}-{loss}-ensemble.safetensors",
    log:
        RUN + "/logs/ensemble/{dataset}/{member}/{peft}-{loss}.log",
    benchmark:
        RUN + "/benchmarks/ensemble/{dataset}/{member}/{peft}-{loss}.tsv"
    resources:
        mem_mb=memory(2000),
        runtime=60,
    params:
        code=code("fuse"),
    shell:
        "dualtail fuse {input:q} --mode probabilities --mode-name ensemble --out {output:q} 2> {log:q}"


# The same models on images with a part hidden, on which nothing is fitted.
if C.fusion.given_modes:

    use rule fuse as fuse_explained with:
        input:
            lambda w: [
                f"{RUN}/explained/{w.dataset}/{member}/{w.variant}.safetensors"
                for member in w.members.split("+")
            ],
        output:
            collect(
                RUN + "/explained/{dataset}/{members}/{variant}-{mode}.safetensors",
                mode=C.fusion.given_modes,
                allow_missing=True,
            ),
        log:
            RUN + "/logs/fuse/explained/{dataset}/{members}/{variant}.log",
        benchmark:
            RUN + "/benchmarks/fuse/explained/{dataset}/{members}/{variant}.tsv"
        params:
            modes=lambda w: fusion_flags(tuple(C.fusion.given_modes), w.members),
            splits="",
            outs=lambda w, output: named(out=output),
            code=code("fuse", modes=tuple(C.fusion.given_modes)),


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
