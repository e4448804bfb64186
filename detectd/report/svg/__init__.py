"""Plots for the report as SVG text, with no library and nothing to load.

`axes` places values, `plot` draws shapes and labels at any width, `markup` escapes whatever text
goes in, and `charts` holds the report's figures. Pure: numbers in, markup out. Begin with `plot`.
"""
