// A calculator: its arguments, or each line of its input, are an expression.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] != "-" {
		if !answer(strings.Join(os.Args[1:], " ")) {
			os.Exit(1)
		}
		return
	}
	ok := true
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" {
			ok = answer(line) && ok
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "calculator:", err)
		ok = false
	}
	if !ok {
		os.Exit(1)
	}
}

func answer(expression string) bool {
	value, err := Evaluate(expression)
	if err != nil {
		fmt.Fprintln(os.Stderr, "calculator:", err)
		return false
	}
	fmt.Printf("%s = %g\n", expression, value)
	return true
}
