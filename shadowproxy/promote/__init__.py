"""From verdict to traffic: observe, decide from a table, act through a router.

``controller`` reads the present and the verdict, ``decision`` (PURE) says what is to be done, ``routers`` do it. What was done is
remembered on the object that is steered, so that a controller that ends between any two steps is followed by one that knows where it was.
"""
