"""Where cells run: on this machine (`local`) or as SLURM jobs (`cluster`). `schedule` hands the cells out."""
