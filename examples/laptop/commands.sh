# In a directory with this .phase.json, which `phase init` writes: nothing to load into the shell
# first, and nothing left in it afterwards.
phase-run npm test
phase-run --env staging --only 'DB_*' -c 'psql "$DB_URL"'
