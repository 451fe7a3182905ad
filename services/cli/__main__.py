"""`python -m services.cli` is `samesky`."""

from services.cli import main

main()
