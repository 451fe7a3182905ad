"""The search for neighbours that is too large for one step: cut into tiles, each done alone, merged to one table.

The objects that a pair shares, in the order in which an embedding stores them, are cut into blocks of equal size. A
tile holds the best of one block of queries among one block of candidates; a strip, the best of a block among all; the
table is that of `scorer.neighbours.nearest`, bit for bit, at its usual key. How it is cut follows from the embedding,
and is written down before the first step, so that all workers cut alike; how it is cut changes no answer.
"""
