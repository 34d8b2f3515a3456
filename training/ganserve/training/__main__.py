"""`python -m ganserve.training` is `ganserve train`, for launchers that start modules, such as `torchrun -m`."""

import sys

from ganserve.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
