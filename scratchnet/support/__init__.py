"""What the core uses besides its kernels: checks of arguments, settings as JSON, whole files, interrupts, old names, tables."""
