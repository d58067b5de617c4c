"""What each kernel was seen to allow: recorded tables, one file a kernel."""
