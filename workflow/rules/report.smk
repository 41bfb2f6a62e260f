# The page of the run: what came out, for people. Everything else of `all` is behind it.


rule report:
    input:
        **PAPER_INPUTS,
        figure=[
            *rules.figures.output.png,
            *[RUN + "/figures/world.png" for _ in DRAWN_DATASETS[:1]],
            *[
                f"{RUN}/studies/figures/{study}.png"
                for study in STUDIES
                if study not in ("student", "fusion_weights")  # tables alone
            ],
        ],
    output:
        page=RUN + "/index.html",
        brief=report(
            RUN + "/summary.html",
            caption="../report/page.rst",
            category="Summary",
            labels={"what": "What came out"},
        ),
    log:
        RUN + "/logs/report.log",
    benchmark:
        RUN + "/benchmarks/report.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        files=paper_flags,
        figures=lambda wildcards, input: named(figure=input.figure),
        tables=",".join(map(str, TABLES)),
        left_out=named(left_out=left_out(C)),
        settings=CONFIG_JSON,
        code=code("report"),
    shell:
        "dualtail report {params.files} {params.figures} --tables {params.tables:q} {params.left_out}"
        " --settings {params.settings:q} --out {output.page:q} --brief {output.brief:q} 2> {log:q}"
