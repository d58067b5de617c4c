"""User stacks below the facets: unwound in the kernel by tables of .eh_frame, for every process that is met."""
