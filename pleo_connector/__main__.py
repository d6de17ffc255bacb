"""`python -m pleo_connector` is the same as `pleo-connector`."""

from pleo_connector.cli import main

if __name__ == "__main__":
    main()
