# Run by examples/run.sh.
containers=example-node

say "Test it, in a stage that is in no image"
build --target test "$here"
say "Build it: what the tests stood on is there already"
build -t example-node "$here"
say "Start it"
show davit run -d --name example-node -p 127.0.0.1::3000 example-node
address=$(davit port example-node 3000)
await "http://$address/health"
say "Add a task, finish it, list them"
ask curl -s "http://$address/tasks" -d '{"title":"read the Dockerfile"}'
expect '"id":1'
ask curl -s -X POST "http://$address/tasks/1/done"
ask curl -s "http://$address/tasks"
expect '[{"id":1,"title":"read the Dockerfile","done":true}]'
say "Whose process it is"
ask davit exec example-node id -un
expect app
say "Stop it: it hears the signal, and ends by itself"
show davit stop example-node
ask davit logs example-node
expect "SIGTERM: closing"
ask davit inspect -f '{{.State.ExitCode}}' example-node
expect 0
