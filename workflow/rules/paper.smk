# Tables, figures, the summary and the comparison: pivots of the score table. One process each: they take seconds.


rule tables:
    input:
        PLAN.paper.paper_inputs,
    output:
        csv=[
            report(
                PATHS.table(number, "csv"),
                caption="../report/table.rst",
                category="Tables",
                labels={"table": str(number)},
            )
            for number in PLAN.paper.tables
        ],
        markdown=[PATHS.table(number, "md") for number in PLAN.paper.tables],
        latex=[PATHS.table(number, "tex") for number in PLAN.paper.tables],
    log:
        PATHS.log("tables"),
    benchmark:
        PATHS.benchmark("tables")
    resources:
        mem_mb=at_least(1000),
        runtime=10,
    params:
        numbers=PLAN.paper.tables,
        settings=as_json(PLAN.paper.paper_job()),
        code=PLAN.code("tables"),
    message:
        "Tables of the paper"
    shell:
        "dualtail tables {params.numbers} --settings {params.settings:q} --record {log:q}.json 2> {log:q}"


if PLAN.paper.figures:

    rule figures:
        input:
            PLAN.paper.paper_inputs,
        output:
            png=[
                report(
                    PATHS.figure(number, "png"),
                    caption="../report/figure.rst",
                    category="Figures",
                    labels={"figure": str(number)},
                )
                for number in PLAN.paper.figures
            ],
            pdf=[PATHS.figure(number, "pdf") for number in PLAN.paper.figures],
            csv=[PATHS.figure(number, "csv") for number in PLAN.paper.figures],
        log:
            PATHS.log("figures"),
        benchmark:
            PATHS.benchmark("figures")
        resources:
            mem_mb=at_least(1000),
            runtime=10,
        params:
            numbers=PLAN.paper.figures,
            settings=as_json(PLAN.paper.paper_job()),
            code=PLAN.code("figures"),
        message:
            "Figures of the paper"
        shell:
            "dualtail figures {params.numbers} --settings {params.settings:q} --record {log:q}.json 2> {log:q}"


rule summary:
    input:
        PLAN.paper.paper_inputs,
    output:
        report(
            PATHS.summary,
            caption="../report/summary.rst",
            category="Summary",
            labels={"what": "What came out"},
        ),
    log:
        PATHS.log("summary"),
    benchmark:
        PATHS.benchmark("summary")
    resources:
        mem_mb=at_least(1000),
        runtime=10,
    params:
        settings=as_json(PLAN.paper.paper_job()),
        code=PLAN.code("summary"),
    message:
        "Summary of the run"
    shell:
        "dualtail summary --settings {params.settings:q} --record {log:q}.json 2> {log:q}"


rule compare:
    input:
        PLAN.paper.paper_inputs,
    output:
        markdown=report(
            PATHS.comparison("md"),
            caption="../report/comparison.rst",
            category="Comparison with the paper",
            labels={"what": "Claims, numbers, contradictions"},
        ),
        csv=report(
            PATHS.comparison("csv"),
            caption="../report/comparison.rst",
            category="Comparison with the paper",
            labels={"what": "Every published number beside ours"},
        ),
    log:
        PATHS.log("compare"),
    benchmark:
        PATHS.benchmark("compare")
    resources:
        mem_mb=at_least(1000),
        runtime=10,
    params:
        settings=as_json(PLAN.paper.paper_job()),
        code=PLAN.code("compare"),
    message:
        "Comparison with the paper"
    shell:
        "dualtail compare --settings {params.settings:q} --record {log:q}.json 2> {log:q}"
