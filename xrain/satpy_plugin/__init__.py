"""Satpy finds the readers ``gpm_l1c`` and ``xrain_rain`` through this package.

Satpy imports it whenever any reader is looked up, so it imports nothing.
"""
