"""ResourceSlices, DeviceClasses, taint rules and claims as the core's devices and claims, and allocations back.

Pure; what cannot be read is a ``MalformedObjectError`` that names object and field, and stops nothing else.
"""
