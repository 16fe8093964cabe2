"""The main job. Each step does what is due now and says when to come back; what it knows is in the database only.

Work with another service is always: claim and commit, call, record the outcome. A step may die at any instruction: its
claims run out, and the next replica goes on.
"""
