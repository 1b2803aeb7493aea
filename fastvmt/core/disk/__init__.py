"""Files that are whole or not there, folders that somebody holds, and digests of large files."""
