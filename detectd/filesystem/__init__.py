"""Robust file handling for a daemon, whatever the disk, a crash or other users do.

A file is replaced as a whole or not at all (`atomic_files`); code and outputs are read from and
written to places that only this process or a trusted user can change (`private_directories`,
`owners`, `safe_walk`); an errno becomes one line and an exit code (`os_errors`). Nothing here knows
events, models or settings.
"""
