"""How requests travel: sockets in and out. Lanes carry verdicts out; they hold no policy."""
