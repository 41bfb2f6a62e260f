"""The command line: one thin verb a job; heavy libraries are imported inside the verbs that need them."""
