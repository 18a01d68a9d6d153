"""A step of back-propagation as a page that one can watch: what ``trace.animate()`` writes.

``data`` picks out of a trace what the page draws, ``page`` fills it into the template beside it. The page's own parts
are ``page.html``, ``page.css``, the scripts and one file of texts for each language; README.md says how they hang
together.
"""
