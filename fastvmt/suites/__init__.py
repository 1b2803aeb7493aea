"""Which clips and prompts: suites, their file formats, and the tools that make and check them."""
