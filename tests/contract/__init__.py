"""One suite, two servers: what holds of the mirror, and of the API it mirrors, on the demo cluster and on a real one.

A test asks for ``server`` and runs once for each. Where the two differ, the real one is right and the demo is mended.
"""
