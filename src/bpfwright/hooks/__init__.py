"""Hook points, one file each."""
