"""Where reading goes on: at the start, after a break, when history is lost, when the past is asked for."""
