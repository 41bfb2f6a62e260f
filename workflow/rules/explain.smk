# What models look at: outputs on images with a part hidden, Grad-CAM maps; then, without torch, scores.


def explained_images(dataset):
    """Table or list of the images that are explained, and the folder or archive they are in."""
    entry, occlusion = C.datasets[dataset], C.datasets[dataset].occlusion
    if occlusion is None:
        return image_list(dataset, "test"), images(dataset, "test")
    table, archive = entry.root / occlusion.table, entry.image_base / occlusion.images
    return table.as_posix(), archive.as_posix()


def explained_files(dataset):
    """The same as inputs of a rule; of data that the user brings, what is there."""
    return PLACES.inputs(explained_images(dataset))


def explained_flags(dataset):
    occlusion = C.datasets[dataset].occlusion
    listing, archive = explained_images(dataset)
    if occlusion is None:
        which = ["--list", listing]
    else:
        which = ["--table", listing, "--conditions", values_text(occlusion.conditions)]
    return shlex.join(["--images", archive, *which, "--most", str(C.explain.images)])


def drawn_pairs_flag(dataset):
    """The world, where it drew the images: then they are shown larger, and it is known what a pixel is of."""
    if dataset not in INTERVENED:
        return ""
    world = C.world.of_dataset(dataset).model_dump(mode="json", exclude_defaults=True)
    return shlex.join(["--world", values_text(world)])


def peft_method(variant):
    """The method of a tuned variant; none of the zero-shot one."""
    return "" if variant == "zero-shot" else C.pefts[variant.split("-")[0]].method


rule explain:
    input:
        weights=weights,
        files=model_files,
        images=lambda w: explained_files(w.dataset),
        text=RUN + "/foundation/{member}/{dataset}.text.safetensors",
        outputs=RUN + "/outputs/{dataset}/{member}/{variant}.safetensors",
        adapter=lambda w: (
            []
            if w.variant == "zero-shot"
            else f"{RUN}/adapters/{w.dataset}/{w.member}/{w.variant}.safetensors"
        ),
    output:
        outputs=RUN + "/explained/{dataset}/{member}/{variant}.safetensors",
        maps=RUN + "/explained/{dataset}/{member}/{variant}.maps.safetensors",
    log:
        RUN + "/logs/explain/{dataset}/{member}/{variant}.log",
    benchmark:
        RUN + "/benchmarks/explain/{dataset}/{member}/{variant}.tsv"
    wildcard_constraints:
        variant="zero-shot|(" + "|".join(t.name for t in tunings(C)) + ")",
    threads: C.jobs.threads
    resources:
        gpu=gpu,
        mem_mb=memory(C.jobs.mem_mb),
        runtime=C.jobs.runtime,
    params:
        model=model_flags,
        images=lambda w: explained_flags(w.dataset),
        adapter=lambda w, input: named(adapter=input.adapter),
        peft=lambda w: named(peft=peft_method(w.variant)),
        precision=lambda w: C.tuning_of(w.dataset).precision,
        code=lambda w: code("explain-model", peft=peft_method(w.variant) or None),
    shell:
        "dualtail explain-model {params.model} {params.images} {params.adapter} {params.peft} --text-features {input.text:q}"
        " --reference {input.outputs:q} --precision {params.precision} --device {DEVICE} --threads {threads}"
        " --maps {output.maps:q} --out {output.outputs:q} 2> {log:q}"


# Confidences with a part hidden (Table 15, Figure 8), shares of maps by part, the images that figures show.
rule score_explanations:
    input:
        study=RUN + "/study.csv",
        images=lambda w: explained_files(w.dataset),
        outputs=collect(
            RUN + "/explained/{p.dataset}/{p.members}/{p.variant}.safetensors",
            p=lookup(query="dataset == '{dataset}' and explained", within=STUDY),
        ),
        maps=collect(
            RUN + "/explained/{p.dataset}/{p.members}/{p.variant}.maps.safetensors",
            p=lookup(
                query="dataset == '{dataset}' and explained and kind == 'tuned'",
                within=STUDY,
            ),
        ),
    output:
        scores=RUN + "/explained/{dataset}/scores.parquet",
        grad_cam=RUN + "/explained/{dataset}/grad_cam.csv",
        examples=RUN + "/explained/{dataset}/examples.safetensors",
    log:
        RUN + "/logs/score_explanations/{dataset}.log",
    benchmark:
        RUN + "/benchmarks/score_explanations/{dataset}.tsv"
    resources:
        mem_mb=memory(2000),
        runtime=30,
    params:
        images=lambda w: explained_flags(w.dataset),
        transform=lambda w: transform_flag(C.study.members[0]),
        world=lambda w: drawn_pairs_flag(w.dataset),
        settings=f"--bootstrap {C.scores.bootstrap} --seed {C.seed} --run {C.run}",
        pattern=lambda w: EXPLAINED,
        code=code("score-explanations"),
    shell:
        "dualtail score-explanations --study {input.study:q} --dataset {wildcards.dataset}"
        " --explained {params.pattern:q} {params.images} {params.transform} {params.world} {params.settings}"
        " --grad-cam {output.grad_cam:q} --examples {output.examples:q} --out {output.scores:q} 2> {log:q}"
