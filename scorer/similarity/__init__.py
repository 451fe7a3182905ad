"""How alike two embeddings of the same objects are as wholes: CKA, CCA, Procrustes, RSA, predictivity, information.

Imports numpy and `shared`; scipy only inside the functions that need it, so that the registry can be read without it.
"""
