"""`python -m dualtail`."""

from dualtail.cli.program import main

main()
