"""``python -m gynbtnet``: the command line."""

from gynbtnet.cli import main

main()
