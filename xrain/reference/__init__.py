"""From any reference file to a radiometer's pixels: radar, gridded rain, another radiometer."""

from xrain.reference.match import match_footprints, match_pixels, match_reference

__all__ = ["match_footprints", "match_pixels", "match_reference"]
