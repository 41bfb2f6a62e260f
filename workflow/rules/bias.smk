# From cached outputs: the pre-training prior, logit adjustment, backdoor fusion. No model, no torch.


rule prior:
    input:
        outputs=lambda wildcards: PATHS.zero_shot_outputs(
            wildcards.dataset,
            wildcards.member,
            PLAN.scope.prior_split(wildcards.dataset),
        ),
        true_counts=lambda wildcards: PLAN.bias.true_prior_inputs(
            wildcards.dataset, wildcards.member
        ),
    output:
        prior=PATHS.prior("{dataset}", "{member}"),
        record=PATHS.prior_record("{dataset}", "{member}"),
    log:
        PATHS.log("prior", "{dataset}", "{member}"),
    benchmark:
        PATHS.benchmark("prior", "{dataset}", "{member}")
    resources:
        mem_mb=at_least(4000),
        runtime=30,
    params:
        settings=lambda wildcards: PLAN.bias.prior_flags(
            wildcards.dataset, wildcards.member
        ),
        code=PLAN.code("prior"),
    message:
        "Estimating the pre-training prior of {wildcards.member} on {wildcards.dataset}"
    shell:
        "dualtail prior {input.outputs:q} {params.settings} --out {output.prior:q}"
        " --record {log:q}.json 2> {log:q}"


for KIND in PLAN.scope.split_kinds:

    rule:
        name:
            f"combine{KIND.suffix}"
        input:
            singles=lambda wildcards: [
                dump
                for split in PLAN.scope.evaluated_of(wildcards.dataset)
                for dump in PLAN.dumps.zero_shot_dumps(wildcards.dataset, split)
                + PLAN.dumps.tuned_dumps(wildcards.dataset, split)
            ],
            priors=expand(
                PATHS.prior("{{dataset}}", "{member}"), member=PLAN.scope.members
            ),
            train_counts=PATHS.train_counts("{dataset}"),
        output:
            [
                dump
                for split in KIND.evaluated
                for dump in PLAN.dumps.combined_dumps("{dataset}", split)
            ],
        log:
            PATHS.log("combine", "{dataset}"),
        benchmark:
            PATHS.benchmark("combine", "{dataset}")
        wildcard_constraints:
            dataset=KIND.pattern,
        resources:
            mem_mb=at_least(2000),
            runtime=60,
        params:
            settings=lambda wildcards: as_json(PLAN.bias.combine_job(wildcards.dataset)),
            code=PLAN.code("combine"),
        message:
            "Adjusting and fusing the outputs on {wildcards.dataset}"
        shell:
            "dualtail combine --settings {params.settings:q} --record {log:q}.json 2> {log:q}"
