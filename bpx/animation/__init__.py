"""The web page on which a step of back-propagation can be watched: what ``trace.animate()`` writes.

``page_data`` collects what the page draws from a trace, ``page`` fills it into the template. The template is
``page.html`` with ``page.css``, the scripts and a file of texts for each language; README.md explains how they work
together.
"""
