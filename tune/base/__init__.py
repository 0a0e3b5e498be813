"""What every room stands on: errors, the table of commands, variables, passwords, platforms."""
