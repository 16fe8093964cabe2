"""SQL of this service. Every function works in the transaction it is given and never ends it.

Whoever changes associations first locks the rows of the policies concerned, in the order of their uids.
"""
