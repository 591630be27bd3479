"""Reading documents of each kind as text, and cutting the text into chunks.

Runs in a process of its own (`python -m knowledge.extraction`), because what people upload may
be broken or hostile: that process has bounded memory and CPU time, no database, and may die.
Nothing in here imports Django.
"""
