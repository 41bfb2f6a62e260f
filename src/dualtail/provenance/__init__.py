"""What made every file of a run, read from Snakemake's records and kept, with hashes, in `manifest.json`."""
