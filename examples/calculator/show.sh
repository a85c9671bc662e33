# Run by examples/run.sh.
say "Build it in two stages: the program alone, on scratch"
build -t example-calculator "$here"
say "Build it in one stage; what both have in common is there already"
build -t example-calculator:onestage -f "$here/Dockerfile.onestage" "$here"
say "Calculate"
ask davit run --rm example-calculator
expect "6 * 7 = 42"
ask davit run --rm example-calculator "2 * (3 + 4) - 1"
expect "2 * (3 + 4) - 1 = 13"
printf '10 / 4\n-(1 + 1)\n' >"$work/lines"
ask davit run --rm -i example-calculator - <"$work/lines"
expect "10 / 4 = 2.5"
expect "-(1 + 1) = -2"
ask davit run --rm example-calculator:onestage "2 * (3 + 4) - 1"
expect "2 * (3 + 4) - 1 = 13"
say "A mistake, and its exit code"
show davit run --rm example-calculator "1 / 0" && fail "a division by zero succeeded" || echo "exit code $?"
say "What each takes"
ask davit images --format '{{.Repository}}:{{.Tag}}  {{.Size}}' example-calculator
two=$(davit image inspect -f '{{.Size}}' example-calculator)
one=$(davit image inspect -f '{{.Size}}' example-calculator:onestage)
[ "$((two * 20))" -lt "$one" ] || fail "two stages save too little: $two bytes against $one"
echo "The image of two stages is $((one / two)) times smaller."
