# What only a world with known truth can show, and how fusion depends on its rule: from what the run has anyway.

STUDIES = {
    "prior": (PLAN.studies.prior_inputs, PLAN.studies.prior_job),
    "interventional": (
        PLAN.studies.interventions_inputs,
        PLAN.studies.interventions_job,
    ),
    "logits_probabilities": (
        lambda: PLAN.paper.paper_inputs,
        PLAN.studies.fusion_job,
    ),
}

for STUDY in PLAN.studies.names:
    VERB = STUDY_VERBS[STUDY]
    INPUTS, JOB = STUDIES[STUDY]
    FILES = PLAN.studies.files(STUDY)

    rule:
        name:
            VERB.replace("-", "_")
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
            PATHS.log(VERB.replace("-", "_")),
        benchmark:
            PATHS.benchmark(VERB.replace("-", "_"))
        resources:
            mem_mb=at_least(1000),
            runtime=10,
        params:
            verb=VERB,
            settings=as_json(JOB()),
            code=PLAN.code(VERB),
        message:
            "Making {params.verb}"
        shell:
            "dualtail {params.verb} --settings {params.settings:q} --record {log:q}.json 2> {log:q}"
