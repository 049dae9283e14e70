"""`python -m mtrigger` is the command `mtrigger`."""

from mtrigger.cli import main

if __name__ == "__main__":
    main()
