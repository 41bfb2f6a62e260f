"""The command line: one thin verb per job; heavy libraries are imported inside the verbs that need them."""
