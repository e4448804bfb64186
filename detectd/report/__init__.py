"""The promise of a model and the observations, as data, as text and as one HTML page.

Figures are calculated once, as plain data whose field names are a contract (`figures`); text and
HTML only render them, in the words of `wording`. Text from events reaches a terminal only through
`terminal`, and a page only through `svg.markup`. Begin with `figures`.
"""
