# Run by examples/run.sh.
containers="example-app example-db"
volumes=example-db

say "Build the database and the application"
build -t example-db "$here/database"
build -t example-app "$here/app"

cat >"$work/env" <<'ENV'
MARIADB_DATABASE=guests
MARIADB_USER=app
MARIADB_PASSWORD=not-a-secret
ENV

# The application lives in the database's network: both are at 127.0.0.1, and the database publishes its port.
start_both() {
  show davit run -d --name example-db --env-file "$work/env" -v example-db:/var/lib/mysql -p 127.0.0.1::8080 example-db
  show davit run -d --name example-app --env-file "$work/env" --network container:example-db example-app
  address=$(davit port example-db 8080)
  await "http://$address/"
}

say "Start both at once, on a volume that is empty: the application waits until the database is made"
start_both
ask davit logs example-app
expect "waiting for the database"
expect "the database is there"
say "The guest that the init script has added"
ask curl -s "http://$address/"
expect "1. Ada Lovelace"
say "Add another"
ask curl -s "http://$address/" -d "Grace Hopper"
expect "welcome, Grace Hopper"
say "What the health check asks, in the database's own client"
ask davit exec example-db mariadb --user=mysql --table --execute="SELECT id, name FROM guests.guests"
expect "| Grace Hopper |"

say "Stop and remove both; the volume stays"
show davit stop example-app example-db
ask davit logs --tail 1 example-db
expect "Shutdown complete"
show davit rm example-app example-db
say "Start anew on the same volume: nothing is made, and all guests are there"
start_both
ask curl -s "http://$address/"
expect "1. Ada Lovelace"
expect "2. Grace Hopper"
