"""`python -m sfsync.simulators.org`: the simulated org by itself."""

import typer

from sfsync.simulators.org.command import org

if __name__ == "__main__":
    typer.run(org)
