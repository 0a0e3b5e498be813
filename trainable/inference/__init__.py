"""A finished model: labelling image files, and the formats it is exported to."""
