"""`python -m dualtail`, as torchrun starts it."""

from dualtail.cli.program import main

main()
