"""What the tests run against: real servers on free loopback ports, and the installed command as a process."""
