"""What a study will take: jobs, image passes, hours, memory and disk, before anything is there."""
