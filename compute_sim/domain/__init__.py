"""Values and pure rules of compute: what an image holds, how long a build takes, what a quota allows."""
