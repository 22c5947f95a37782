# In a directory with this .phase.json, which `phase init` writes. Nothing has to be loaded into the
# shell first, and the shell never has a secret.
phase-run npm test
phase-run --env staging --only 'DB_*' -c 'psql "$DB_URL"'
