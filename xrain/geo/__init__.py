"""Positions on the sphere: cells, footprints, co-registration, land and surfaces."""
