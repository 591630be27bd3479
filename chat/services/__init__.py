"""What chat does, for views, workers and commands. Knows neither requests nor sockets."""
