"""Parts of GPUs that pods ask for by annotation and get by a claim: which way a pod goes, and what its claim says.

Pure. The webhook names the template of the claim, the leader makes it, a plan does both; all of them ask here.
"""
