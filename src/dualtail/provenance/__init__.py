"""What made every file of a run: the job's own record, the manifest, and what Snakemake is told of it.

`record` is written by the job; `snakemake_records` alone knows how Snakemake remembers; `manifest` is
both, with hashes, in one portable document; `adoption` decides at the start of a run which files may be
trusted; `workflow` is what the Snakefile calls.
"""
