"""From run files to tables, frames and the numbers of a report."""
