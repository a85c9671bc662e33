# Run by examples/run.sh.
containers=example-django
volumes=example-django

say "Build it"
build -t example-django --build-arg VERSION=1.0 "$here"

start_site() {
  show davit run -d --name example-django -v example-django:/data -p 127.0.0.1::8000 example-django
  address=$(davit port example-django 8000)
  await "http://$address/health"
}

say "Start it"
start_site
say "Its page, as long as nobody has signed"
ask curl -s -c "$work/cookies" "http://$address/"
expect "Nobody has been here yet."
expect "Version 1.0"
say "Sign, as a browser does: with the form's token"
token=$(sed -n 's/.*name="csrfmiddlewaretoken" value="\([^"]*\)".*/\1/p' "$output")
ask curl -s -L -b "$work/cookies" -H "X-CSRFToken: $token" -d name=Ada --data-urlencode "text=Built & run by davit" "http://$address/"
expect "<b>Ada</b>: Built &amp; run by davit"
say "Django's own commands"
ask davit exec example-django python3 manage.py showmigrations
expect "[X] 0001_initial"
say "Replace the container; the volume stays"
show davit stop example-django
show davit rm example-django
start_site
ask curl -s "http://$address/"
expect "<b>Ada</b>: Built &amp; run by davit"
say "Another command in the place of the image's"
ask davit run --rm -e DATA_DIRECTORY=/tmp example-django python3 -c 'import django; print("Django", django.get_version())'
expect "Django 3"
