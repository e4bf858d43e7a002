"""Files that ship with the package: masks, tables, coastlines."""
