# The six-class study (D.7): images of heads and bodies, and networks trained on two mixtures of them.


# With Stable Diffusion, or as the world draws its creatures.
rule draw_confounder:
    output:
        multiext(
            RUN + "/confounder/images/",
            "images.zip",
            "classnames.txt",
            "A_train.txt",
            "A_test.txt",
            "B_train.txt",
            "B_test.txt",
            "samples.csv",
            "samples.zip",
        ),
    log:
        RUN + "/logs/draw_confounder.log",
    benchmark:
        RUN + "/benchmarks/draw_confounder.tsv"
    resources:
        gpu=lambda w: gpu(w) if C.confounder.stable_diffusion else 0,
        mem_mb=memory(C.jobs.mem_mb),
        runtime=C.jobs.runtime,
    params:
        settings=lambda w: flags(C.confounder, without={"seeds", "training"}),
        world=lambda w: (
            ""
            if C.confounder.stable_diffusion
            else f"--world {shlex.quote(values_text(C.world.model_dump(mode='json', exclude_defaults=True, exclude={'folder'})))}"
        ),
        seed=C.seed,
        code=code("draw-confounder"),
    shell:
        "dualtail draw-confounder {params.settings} {params.world} --seed {params.seed} --device {DEVICE}"
        " --out {RUN:q}/confounder/images 2> {log:q}"


rule train_confounder:
    input:
        rules.draw_confounder.output,
    output:
        history=RUN + "/confounder/{train_set}_train-{seed}.history.csv",
        outputs=RUN + "/confounder/{train_set}_train-{seed}.safetensors",
    log:
        RUN + "/logs/train_confounder/{train_set}_train-{seed}.log",
    benchmark:
        RUN + "/benchmarks/train_confounder/{train_set}_train-{seed}.tsv"
    wildcard_constraints:
        train_set="A|B",
    threads: C.jobs.threads
    resources:
        gpu=gpu,
        mem_mb=memory(C.jobs.mem_mb),
        runtime=C.jobs.runtime,
    params:
        size=lambda w: C.confounder.image_size,
        settings=lambda w: flags(C.confounder.training),
        code=code("train-confounder"),
    shell:
        "dualtail train-confounder --images {RUN:q}/confounder/images --train-set {wildcards.train_set}"
        " --image-size {params.size} --seed {wildcards.seed} {params.settings} --device {DEVICE}"
        " --threads {threads}"
        " --history {output.history:q} --out {output.outputs:q} 2> {log:q}"


rule score_confounder:
    input:
        lambda w: [
            f"{RUN}/confounder/{train_set}_train-{seed}.safetensors"
            for train_set in "AB"
            for seed in C.confounder.seeds
        ],
    output:
        scores=RUN + "/confounder/{test_set}_test.parquet",
        class_scores=RUN + "/confounder/{test_set}_test.classes.parquet",
    log:
        RUN + "/logs/score_confounder/{test_set}.log",
    benchmark:
        RUN + "/benchmarks/score_confounder/{test_set}.tsv"
    wildcard_constraints:
        test_set="A|B",
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        settings=f"--bootstrap {C.scores.bootstrap} --seed {C.seed} --run {C.run}",
        code=code("score"),
    shell:
        "dualtail score {input:q} --split {wildcards.test_set}_test {params.settings}"
        " --class-scores {output.class_scores:q} --out {output.scores:q} > {log:q} 2>&1"
