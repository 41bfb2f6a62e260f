# What only a world with known truth can show, and how fusion depends on its rule; controls need further training.


def study_files(name):
    return dict(
        html=report(
            f"{RUN}/studies/{name}.html",
            caption="../report/table.rst",
            category="Studies",
            labels=titled("study", f"{RUN}/studies/{name}.md", " (table)"),
        ),
        more_of_table=multiext(f"{RUN}/studies/{name}", ".csv", ".md"),
    )


def study_figure(name):
    return dict(
        png=report(
            f"{RUN}/studies/figures/{name}.png",
            caption=caption_of(f"{RUN}/studies/figures/{name}"),
            category="Studies",
            labels=titled("study", f"{RUN}/studies/figures/{name}.md", " (figure)"),
        ),
        more=multiext(f"{RUN}/studies/figures/{name}", ".pdf", ".csv", ".md", ".rst"),
    )


def explained_and_fused(datasets):
    """Models that predict images with a part hidden: untuned, tuned with a loss that is fused, and fused."""
    return lookup(
        query=f"dataset in {datasets} and explained and (loss == '' or loss in {C.fusion.losses})",
        within=STUDY,
    )


def controls_files(wildcards):
    """The models of every set of `studies.controls`, tuned alike, and their fusions."""
    peft = C.study.pefts[0]
    variant = f"{peft}-la-{C.seeds_of(peft)[0]}"
    dumps = [
        dump
        for models in C.studies.controls.values()
        for dump in (
            *((model, variant) for model in models),
            *(
                ("+".join(models), f"{variant}-{mode}")
                for mode in ("logits", "probabilities")
            ),
        )
    ]
    return [
        OUTPUTS.format(dataset=dataset, members=members, variant=name)
        for dataset in C.study.datasets
        for members, name in dict.fromkeys(dumps)
    ]


# Estimated against true priors, by every estimator.
rule study_prior:
    input:
        outputs=[
            f"{RUN}/outputs/{dataset}/{member}/zero-shot.safetensors"
            for dataset, member in known_priors(C)
        ],
        truth=[true_prior_files(*known) for known in known_priors(C)],
        config=RUN + "/config.yaml",
    output:
        **study_files("prior"),
        **study_figure("prior"),
    log:
        RUN + "/logs/study_prior.log",
    benchmark:
        RUN + "/benchmarks/study_prior.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        priors=shlex.join(
            word
            for dataset, member in known_priors(C)
            for word in (
                "--prior",
                f"{RUN}/outputs/{dataset}/{member}/zero-shot.safetensors",
                *true_prior_files(dataset, member),
            )
        ),
        code=code("study-prior"),
    shell:
        "dualtail study-prior {params.priors} --config {input.config:q} --out {RUN:q}/studies 2> {log:q}"


# Predictions with a part hidden against the true P(Y | do(X)).
rule study_interventions:
    input:
        study=RUN + "/study.csv",
        config=RUN + "/config.yaml",
        outputs=collect(
            RUN + "/explained/{p.dataset}/{p.members}/{p.variant}.safetensors",
            p=explained_and_fused(INTERVENED),
        ),
        truth=collect(WORLD + "/{dataset}/truth.json", dataset=INTERVENED),
    output:
        **study_files("interventional"),
        **study_figure("interventional"),
    log:
        RUN + "/logs/study_interventions.log",
    benchmark:
        RUN + "/benchmarks/study_interventions.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        datasets=shlex.join(
            word
            for dataset in INTERVENED
            for word in ("--dataset", dataset, f"{WORLD}/{dataset}/truth.json")
        ),
        explained=lambda w: EXPLAINED,
        code=code("study-interventions"),
    shell:
        "dualtail study-interventions {params.datasets} --study {input.study:q} --config {input.config:q}"
        " --explained {params.explained:q} --out {RUN:q}/studies 2> {log:q}"


# Fusion by logits against fusion by probabilities.
rule study_fusion:
    input:
        **PAPER_INPUTS,
    output:
        **study_files("logits_probabilities"),
        **study_figure("logits_probabilities"),
    log:
        RUN + "/logs/study_fusion.log",
    benchmark:
        RUN + "/benchmarks/study_fusion.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        files=paper_flags,
        code=code("study-fusion"),
    shell:
        "dualtail study-fusion {params.files} --out {RUN:q}/studies 2> {log:q}"


# Equal weights against fitted ones.
rule study_fusion_weights:
    input:
        config=RUN + "/config.yaml",
        outputs=[
            OUTPUTS.format(dataset=dataset, members=member, variant=variant)
            for dataset in C.study.datasets
            for member in C.study.members
            for variant in [
                *(["zero-shot"] if C.fusion.zero_shot else []),
                *(
                    f"{C.study.pefts[0]}-{loss}-{C.seeds_of(C.study.pefts[0])[0]}"
                    for loss in C.fusion.losses
                ),
            ]
        ],
    output:
        **study_files("fusion_weights"),
    log:
        RUN + "/logs/study_fusion_weights.log",
    benchmark:
        RUN + "/benchmarks/study_fusion_weights.tsv"
    resources:
        mem_mb=memory(4000),
        runtime=60,
    params:
        outputs=lambda w: OUTPUTS,
        code=code("study-fusion-weights"),
    shell:
        "dualtail study-fusion-weights --config {input.config:q} --outputs {params.outputs:q}"
        " --out {RUN:q}/studies 2> {log:q}"


# Accuracy against cost: what should one deploy?
rule study_frontier:
    input:
        **PAPER_INPUTS,
    output:
        **study_files("frontier"),
        **study_figure("frontier"),
    log:
        RUN + "/logs/study_frontier.log",
    benchmark:
        RUN + "/benchmarks/study_frontier.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        files=paper_flags,
        code=code("study-frontier"),
    shell:
        "dualtail study-frontier {params.files} --out {RUN:q}/studies 2> {log:q}"


# One model that learned from several, against its control and against the fusion of its teachers.
rule study_student:
    input:
        study=RUN + "/study.csv",
        config=RUN + "/config.yaml",
        outputs=[
            OUTPUTS.format(**row._asdict())
            for found in students(C)
            for row in found.values()
        ],
    output:
        **study_files("student"),
    log:
        RUN + "/logs/study_student.log",
    benchmark:
        RUN + "/benchmarks/study_student.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        outputs=lambda w: OUTPUTS,
        code=code("study-student"),
    shell:
        "dualtail study-student --study {input.study:q} --config {input.config:q} --outputs {params.outputs:q}"
        " --out {RUN:q}/studies 2> {log:q}"


# Several corpora against seeds of one, with and without visibility bias: is it ensembling?
rule study_controls:
    input:
        config=RUN + "/config.yaml",
        outputs=controls_files,
    output:
        **study_files("controls"),
    log:
        RUN + "/logs/study_controls.log",
    benchmark:
        RUN + "/benchmarks/study_controls.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        outputs=lambda w: OUTPUTS,
        code=code("study-controls"),
    shell:
        "dualtail study-controls --config {input.config:q} --outputs {params.outputs:q} --out {RUN:q}/studies 2> {log:q}"
