# The pre-training prior q of every model, from its zero-shot outputs (GLA, Eq. 3). No model, no torch.


def prior_split(dataset):
    return C.datasets[dataset].prior_split or C.prior.split


def true_prior_files(dataset, member):
    """What tells the true prior of a model that was pre-trained here: list and names of its corpus."""
    if (dataset, member) not in known_priors(C):
        return []
    return corpus_files(C.foundation[member].weights.corpus)[:2]


rule prior:
    input:
        outputs=RUN + "/outputs/{dataset}/{member}/zero-shot.safetensors",
        truth=lambda w: true_prior_files(w.dataset, w.member),
    output:
        prior=RUN + "/priors/{dataset}/{member}.csv",
        record=RUN + "/priors/{dataset}/{member}.json",
    log:
        RUN + "/logs/prior/{dataset}/{member}.log",
    benchmark:
        RUN + "/benchmarks/prior/{dataset}/{member}.tsv"
    resources:
        mem_mb=memory(4000),
        runtime=30,
    params:
        split=lambda w: prior_split(w.dataset),
        estimator=lambda w: prior_estimator(C, w.dataset),
        settings=flags(C.prior, without={"split", "estimator"}),
        truth=lambda w, input: (
            shlex.join(["--true-list", input.truth[0], "--true-names", input.truth[1]])
            if input.truth
            else ""
        ),
        seed=C.seed,
        code=code("prior"),
    shell:
        "dualtail prior {input.outputs:q} --split {params.split} --estimator {params.estimator} {params.settings} {params.truth}"
        " --seed {params.seed} --out {output.prior:q} 2> {log:q}"
