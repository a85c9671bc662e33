package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Evaluate computes an expression of numbers, + - * / and parentheses, with the usual precedence.
func Evaluate(expression string) (float64, error) {
	p := &parser{text: expression}
	value, err := p.sum()
	if err != nil {
		return 0, err
	}
	if next := p.peek(); next != 0 {
		return 0, fmt.Errorf("unexpected %q in %q", next, expression)
	}
	return value, nil
}

const deepest = 1000

type parser struct {
	text  string
	at    int
	depth int
}

// peek returns the next character that is not a space, 0 at the end.
func (p *parser) peek() byte {
	for p.at < len(p.text) && p.text[p.at] == ' ' {
		p.at++
	}
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *parser) sum() (float64, error) {
	value, err := p.product()
	for err == nil {
		operator := p.peek()
		if operator != '+' && operator != '-' {
			return value, nil
		}
		p.at++
		var right float64
		if right, err = p.product(); operator == '+' {
			value += right
		} else {
			value -= right
		}
	}
	return 0, err
}

func (p *parser) product() (float64, error) {
	value, err := p.factor()
	for err == nil {
		operator := p.peek()
		if operator != '*' && operator != '/' {
			return value, nil
		}
		p.at++
		var right float64
		if right, err = p.factor(); err != nil {
			break
		}
		if operator == '*' {
			value *= right
		} else if right == 0 {
			err = errors.New("division by zero")
		} else {
			value /= right
		}
	}
	return 0, err
}

func (p *parser) factor() (float64, error) {
	if p.depth++; p.depth > deepest {
		return 0, errors.New("the expression is nested too deeply")
	}
	defer func() { p.depth-- }()
	switch p.peek() {
	case 0:
		return 0, errors.New("the expression ends too early")
	case '-':
		p.at++
		value, err := p.factor()
		return -value, err
	case '(':
		p.at++
		value, err := p.sum()
		if err != nil {
			return 0, err
		}
		if p.peek() != ')' {
			return 0, errors.New("a parenthesis is not closed")
		}
		p.at++
		return value, nil
	}
	return p.number()
}

func (p *parser) number() (float64, error) {
	start := p.at
	for p.at < len(p.text) && strings.IndexByte("0123456789.", p.text[p.at]) >= 0 {
		p.at++
	}
	if start == p.at {
		return 0, fmt.Errorf("unexpected %q", p.text[start])
	}
	return strconv.ParseFloat(p.text[start:p.at], 64)
}
