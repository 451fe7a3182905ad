"""Overviews of a study: its score records laid out so that a question can be read off them.

Pure functions from records to rows and matrices; imports `shared` and pydantic only. A row says in its fields what each
column means.
"""
