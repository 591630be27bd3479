"""No framework at all: the least that Python can do for a reader, as the line to measure the rest against."""
