"""Changing HTML documents piece by piece, so that everything untouched stays as it is: see docs/explanation/document-editing.md.

In the order of the flow: `tokens` and `tree` read HTML, `policy` says what proposed HTML may hold,
`chunks` cuts a document, `document` holds one, `changes` are proposed and `applying` applies them.
`proposing` is the contract of what proposes changes: `rules` without a language model, `model` with one.
"""
