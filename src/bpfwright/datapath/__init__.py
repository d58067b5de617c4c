"""What packet facets share: one parse, stages and their composition, configuration, generations."""
