# Run by examples/run.sh.
containers=example-nginx

say "Build it"
build -t example-nginx "$here"
say "Start it, as it is meant to run: nothing to write on but /tmp"
show davit run -d --name example-nginx --read-only --tmpfs /tmp -p 127.0.0.1::8080 example-nginx
address=$(davit port example-nginx 8080)
await "http://$address/"
say "Fetch its page"
ask curl -s "http://$address/"
expect "served by nginx in a container"
say "A file that browsers may keep"
ask curl -sI "http://$address/assets/style.css"
expect "Cache-Control: max-age=2592000"
say "A page that is not there"
ask curl -s "http://$address/nowhere"
expect "Lost at sea"
say "What it logged"
ask davit logs example-nginx
expect "GET /nowhere"
say "Stop it"
show davit stop example-nginx
