"""Definitions that `dg` scaffolds into this project; `definitions.py` merges what is here with the Pleo connection.

Empty on purpose: `dg check defs` wants the folder to exist.
"""
