"""What everybody needs and nobody owns: writes that are whole, content addresses, clocks, spelling of numbers."""
