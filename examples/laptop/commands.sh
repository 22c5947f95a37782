# In a directory with this .phase.json, which you write by hand or with `phase init` of Phase's own CLI.
# Nothing has to be loaded into the shell first, and the shell never has a secret.
phase-run npm test
# psql reads PGHOST, PGPASSWORD and the like itself. `psql "$URL"` would show the password in `ps`.
phase-run --env staging --only 'PG*' -- psql shop
