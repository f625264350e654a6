"""Where cells run: on this machine (`local`), or as jobs of SLURM (`cluster`); `schedule` hands them out."""
