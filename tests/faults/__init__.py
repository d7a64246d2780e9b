"""Odd and broken sound files, made by code: `table.FAULTS` lists them with the verdict that each must get."""
