# What only a world with known truth can show, and how fusion depends on its rule: from what the run has anyway.

STUDIES = {
    "prior": ("prior", PLAN.studies.prior_inputs, PLAN.studies.prior_job),
    "interventional": (
        "interventions",
        PLAN.studies.interventions_inputs,
        PLAN.studies.interventions_job,
    ),
    "logits_probabilities": (
        "fusion",
        lambda: PLAN.paper.paper_inputs,
        PLAN.studies.fusion_job,
    ),
}

for STUDY in PLAN.studies.names:
    VERB, INPUTS, JOB = STUDIES[STUDY]
    FILES = PLAN.studies.files(STUDY)

    rule:
        name:
            f"study_{VERB}"
        input:
            INPUTS(),
        output:
            md=report(
                FILES["md"],
                caption="../report/study.rst",
                category="Studies",
                labels={"study": STUDY, "what": "table"},
            ),
            png=report(
                FILES["figure_png"],
                caption="../report/study.rst",
                category="Studies",
                labels={"study": STUDY, "what": "figure"},
            ),
            more=[FILES["csv"], FILES["figure_pdf"], FILES["figure_csv"]],
        log:
            PATHS.log(f"study_{VERB}"),
        benchmark:
            PATHS.benchmark(f"study_{VERB}")
        resources:
            mem_mb=1000,
            runtime=10,
        params:
            verb=VERB,
            settings=as_json(JOB()),
            code=PLAN.code(f"study-{VERB}"),
        message:
            "Study: {params.verb}"
        shell:
            "dualtail study-{params.verb} --settings {params.settings:q} 2> {log:q}"
