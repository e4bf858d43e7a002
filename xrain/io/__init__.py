"""Files in, datasets out: the layouts of the archive are known here and nowhere else."""
