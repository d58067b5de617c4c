"""The programs are what the tests here check and load; pytest does not collect them by itself."""
collect_ignore = ["programs"]
