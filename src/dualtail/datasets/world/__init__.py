"""The embedded world: creatures with known priors, visibilities and interventions."""
