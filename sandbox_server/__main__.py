"""`python -m sandbox_server` is `cupel-sandbox`."""

from sandbox_server.cli import main

if __name__ == "__main__":
    main(prog_name="cupel-sandbox")
