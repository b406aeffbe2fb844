"""The file formats, one module each: what a file may say, and the plain object that it becomes."""
