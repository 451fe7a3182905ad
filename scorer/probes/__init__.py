"""What an embedding knows of a label of its objects: probes by ridge regression and by neighbours, and agreement.

Imports numpy and `shared`. A probe is a function of a `Probing`; docs/probes.md has the definitions.
"""
