"""What shifts real traffic, one file each: read the present, say what would change, change it.

``port`` is what ``controller`` knows of them. ``objects`` does the reading and patching for those whose object is in Kubernetes; their own
files are PURE and know only the object's shape.
"""
