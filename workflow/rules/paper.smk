# Tables, figures and the summary: pivots of the score table.


rule table:
    message:
        "Table {wildcards.number}"
    input:
        PLAN.paper_inputs,
    output:
        csv=report(
            PATHS.table("{number}", "csv"),
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{number}"},
        ),
        markdown=PATHS.table("{number}", "md"),
        latex=PATHS.table("{number}", "tex"),
    log:
        PATHS.log("table_{number}"),
    benchmark:
        PATHS.benchmark("table_{number}")
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=lambda wildcards: as_json(PLAN.paper_job()),
        code=lambda wildcards: PLAN.code("table", f"dualtail.paper.tables.table_{wildcards.number}"),
    shell:
        "dualtail table {wildcards.number} --settings {params.settings:q} 2> {log:q}"


rule figure:
    message:
        "Figure {wildcards.number}"
    input:
        PLAN.paper_inputs,
    output:
        png=report(
            PATHS.figure("{number}", "png"),
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{number}"},
        ),
        pdf=PATHS.figure("{number}", "pdf"),
        csv=PATHS.figure("{number}", "csv"),
    log:
        PATHS.log("figure_{number}"),
    benchmark:
        PATHS.benchmark("figure_{number}")
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=lambda wildcards: as_json(PLAN.paper_job()),
        code=lambda wildcards: PLAN.code(
            "figure", f"dualtail.paper.figures.figure_{wildcards.number}"
        ),
    shell:
        "dualtail figure {wildcards.number} --settings {params.settings:q} 2> {log:q}"


rule summary:
    message:
        "Summary of the run"
    input:
        PLAN.paper_inputs,
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
        mem_mb=1000,
        runtime=10,
    params:
        settings=lambda wildcards: as_json(PLAN.paper_job()),
        code=PLAN.code("summary"),
    shell:
        "dualtail summary --settings {params.settings:q} 2> {log:q}"
