# Tables, figures, the summary and the comparison: pivots of the score table. One process each: they take seconds.

# Every name is an option of the verbs below.
PAPER_INPUTS = dict(
    config=RUN + "/config.yaml",
    scores=RUN + "/scores.parquet",
    class_scores=RUN + "/class_scores.parquet",
    priors=RUN + "/priors.csv",
    costs=RUN + "/costs.csv",
    grad_cam=collect(
        RUN + "/explained/{dataset}/grad_cam.csv", dataset=C.study.datasets
    ),
    examples=collect(
        RUN + "/explained/{dataset}/examples.safetensors", dataset=C.study.datasets
    ),
    samples=[RUN + "/confounder/images/samples.csv"] if CONFOUNDER_SETS else [],
    histories=collect(
        RUN + "/confounder/{train_set}_train-{seed}.history.csv",
        train_set=CONFOUNDER_SETS,
        seed=C.confounder.seeds if C.confounder else [],
    ),
)


def paper_flags(wildcards, input):
    """The files of PAPER_INPUTS as options, one each."""
    files = [
        (name, file)
        for name in PAPER_INPUTS
        for file in ([input[name]] if isinstance(input[name], str) else input[name])
    ]
    return shlex.join(f"--{name.replace('_', '-')}={file}" for name, file in files)


def titled(column, file, suffix=""):
    """The label of a table or figure in the report: its number and title, from its Markdown file."""

    def labels(wildcards):
        found = re.search(r"\*\*(?:\w+ (\d+)\. )?(.+?)\.\*\*", Path(file).read_text())
        number, title = found[1] or "", found[2].replace("\\|", "|")
        # The report sorts text: a space as wide as a digit puts 2 before 10.
        before = f"{number:\u2007>2} " if number else ""
        return {column: f"{before}{title}{suffix}"}

    return labels


def caption_of(stem):
    """The caption that was written beside a figure, for the report."""
    return Path(f"{stem}.rst").absolute().as_posix()


rule tables:
    input:
        **PAPER_INPUTS,
    output:
        html=[
            report(
                f"{RUN}/tables/table_{number:02d}.html",
                caption="../report/table.rst",
                category="Tables",
                labels=titled("table", f"{RUN}/tables/table_{number:02d}.md"),
            )
            for number in TABLES
        ],
        more=collect(
            RUN + "/tables/table_{number:02d}.{suffix}",
            number=TABLES,
            suffix=["csv", "md", "tex"],
        ),
        all=report(
            RUN + "/tables/all_predictors.html",
            caption="../report/table.rst",
            category="Tables",
            labels=titled("table", RUN + "/tables/all_predictors.md"),
        ),
        more_of_all=multiext(RUN + "/tables/all_predictors", ".csv", ".md"),
    log:
        RUN + "/logs/tables.log",
    benchmark:
        RUN + "/benchmarks/tables.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        tables=[*TABLES, "all_predictors"],
        files=paper_flags,
        code=code("tables"),
    shell:
        "dualtail tables {params.tables} {params.files} --out {RUN:q}/tables 2> {log:q}"


rule figures:
    input:
        **PAPER_INPUTS,
    output:
        png=[
            report(
                f"{RUN}/figures/figure_{number:02d}.png",
                caption=caption_of(f"{RUN}/figures/figure_{number:02d}"),
                category="Figures",
                labels=titled("figure", f"{RUN}/figures/figure_{number:02d}.md"),
            )
            for number in FIGURES
        ],
        more=collect(
            RUN + "/figures/figure_{number:02d}.{suffix}",
            number=FIGURES,
            suffix=["pdf", "csv", "md", "rst"],
        ),
    log:
        RUN + "/logs/figures.log",
    benchmark:
        RUN + "/benchmarks/figures.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        numbers=FIGURES,
        files=paper_flags,
        code=code("figures"),
    shell:
        "dualtail figures {params.numbers} {params.files} --out {RUN:q}/figures 2> {log:q}"


rule summary:
    input:
        **PAPER_INPUTS,
    output:
        RUN + "/summary.md",
    log:
        RUN + "/logs/summary.log",
    benchmark:
        RUN + "/benchmarks/summary.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        files=paper_flags,
        code=code("summary"),
    shell:
        "dualtail summary {params.files} --out {output:q} 2> {log:q}"


rule compare:
    input:
        **PAPER_INPUTS,
    output:
        markdown=report(
            RUN + "/comparison.md",
            caption="../report/comparison.rst",
            category="Comparison with the paper",
            labels={"what": "Claims and numbers (Markdown)"},
        ),
        csv=report(
            RUN + "/comparison.csv",
            caption="../report/comparison.rst",
            category="Comparison with the paper",
            labels={"what": "Every published number beside ours (CSV)"},
        ),
    log:
        RUN + "/logs/compare.log",
    benchmark:
        RUN + "/benchmarks/compare.tsv"
    resources:
        mem_mb=memory(1000),
        runtime=10,
    params:
        files=paper_flags,
        code=code("compare"),
    shell:
        "dualtail compare {params.files} --out {output.markdown:q} --csv {output.csv:q} 2> {log:q}"
