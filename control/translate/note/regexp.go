package note

import (
	"regexp/syntax"

	"github.com/heddle-mesh/heddle/mesh"
)

// Bounds of regular expressions. A short text can be a large program (\pL{1000} has hundreds of thousands of instructions), so the program is what is bounded: for one expression as
// Istio bounds it for Envoy (re2.max_program_size.error_level), and for all of one object.
const (
	maxExpression = 1024   // bytes of text
	maxProgram    = 32768  // instructions of one expression
	maxPrograms   = 131072 // instructions of all expressions of an object
)

// Regexp checks a regular expression of a field: that it is one of RE2, and that neither it nor all of the object's together are too large. Nothing is compiled.
func (p *Pad) Regexp(s, field string) {
	const hint = "see RE2's syntax; at most 1024 characters"
	if len(s) > maxExpression {
		p.Add(mesh.CodeInvalid, field, hint, "the regular expression has %d characters", len(s))
		return
	}
	re, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		p.Add(mesh.CodeInvalid, field, hint, "%q is not a regular expression", s[:min(len(s), 60)])
		return
	}
	size := instructions(re)
	p.programs += size
	switch {
	case size > maxProgram:
		p.Add(mesh.CodeInvalid, field, "repeat less, or match a prefix", "the regular expression would be a program of about %d instructions, and a proxy takes %d", size, maxProgram)
	case p.programs > maxPrograms && !p.crowded:
		p.crowded = true
		p.Add(mesh.CodeInvalid, field, "split the object, or match prefixes", "the regular expressions of the object up to this one would be programs of about %d instructions together; at most %d are allowed", p.programs, maxPrograms)
	}
}

// instructions estimates the size of an expression's program without making it. It stops to grow where it is too large anyway.
func instructions(re *syntax.Regexp) int {
	const enough = 1 << 24
	n := 1
	switch re.Op {
	case syntax.OpLiteral:
		n = len(re.Rune)
	case syntax.OpCharClass:
		n = max(1, len(re.Rune)/2)
	}
	for _, sub := range re.Sub {
		n += instructions(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, enough)
}
