"""Satpy finds the reader ``gpm_l1c`` through this package.

Satpy imports it whenever any reader is looked up, so it imports nothing.
"""
