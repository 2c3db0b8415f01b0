package smuggling

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// attack is one case: what a client sends. Of HTTP/1 it is bytes, of HTTP/2 frames.
type attack struct {
	name   string // FILE/CASE
	level  string // of path normalisation, which chooses the listener
	bytes  []byte
	frames []frame
}

// frame is a frame of HTTP/2: a block of fields, data, or (with end only) an empty DATA frame that ends the stream.
type frame struct {
	fields   [][2]string
	data     []byte
	headers  bool
	end      bool
	trailers bool
}

// corpus reads all files. A file's lines are:
//
//	level LEVEL              none, base, merge or decode: the listener that the cases are sent to
//	let NAME TEXT            {NAME} stands for TEXT from here on
//	for NAME in A B C        the next case is many: {NAME} stands for each in turn
//	CASE: TEXT               a case; lines that begin with a blank go on with it
//
// In TEXT a backslash begins an escape of Go, and line ends are nothing. Files that begin with "h2" have frames: [NAME=VALUE|NAME=VALUE] is a block of fields, "TEXT" is data,
// a dot ends the stream.
func corpus(t *testing.T) (all []attack) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		if name == "differences" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r := &reader{t: t, file: name, level: "decode", lets: map[string]string{}}
		for line := range strings.Lines(strings.ReplaceAll(string(text), "\n  ", "")) {
			r.line(strings.TrimRight(line, "\n"))
		}
		all = append(all, r.attacks...)
	}
	seen := map[string]bool{}
	for _, a := range all {
		if seen[a.name] {
			t.Fatalf("%s is there twice", a.name)
		}
		seen[a.name] = true
	}
	return all
}

// reader reads one file.
type reader struct {
	t       *testing.T
	file    string
	level   string
	lets    map[string]string
	each    string
	values  []string
	attacks []attack
}

func (r *reader) line(line string) {
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case line == "" || line[0] == '#':
	case word == "level":
		r.level = rest
	case word == "let":
		name, text, _ := strings.Cut(rest, " ")
		r.lets[name] = r.fill(text)
	case word == "for":
		name, list, ok := strings.Cut(rest, " in ")
		if !ok {
			r.t.Fatalf("%s: %q", r.file, line)
		}
		r.each, r.values = name, strings.Fields(list)
	case strings.HasSuffix(word, ":"):
		r.cases(strings.TrimSuffix(word, ":"), rest)
	default:
		r.t.Fatalf("%s: cannot read %q", r.file, line)
	}
}

func (r *reader) cases(name, text string) {
	if r.each == "" {
		r.add(name, text)
		return
	}
	each, values := r.each, r.values
	r.each, r.values = "", nil
	for i, v := range values {
		r.lets[each] = v
		r.add(fmt.Sprintf("%s.%d", name, i+1), text)
	}
	delete(r.lets, each)
}

var braces = regexp.MustCompile(`\{[a-zA-Z0-9]+\}`)

func (r *reader) fill(text string) string {
	return braces.ReplaceAllStringFunc(text, func(s string) string {
		if v, ok := r.lets[s[1:len(s)-1]]; ok {
			return v
		}
		return s
	})
}

func (r *reader) add(name, text string) {
	a := attack{name: r.file + "/" + name, level: r.level}
	if text = r.fill(text); strings.HasPrefix(r.file, "h2") {
		a.frames = r.frames(name, text)
	} else {
		a.bytes = r.unescape(text)
	}
	r.attacks = append(r.attacks, a)
}

// unescape is strconv.Unquote without the quotes, and with {N*TEXT} for repetition.
func (r *reader) unescape(text string) []byte {
	var out []byte
	for text != "" {
		if m := repeat.FindStringSubmatch(text); m != nil {
			n, _ := strconv.Atoi(m[1])
			out = append(out, slices.Repeat(r.unescape(m[2]), n)...)
			text = text[len(m[0]):]
			continue
		}
		c, multibyte, rest, err := strconv.UnquoteChar(text, 0)
		if err != nil {
			r.t.Fatalf("%s: %q: %v", r.file, text, err)
		}
		if text = rest; multibyte {
			out = append(out, string(c)...)
		} else {
			out = append(out, byte(c))
		}
	}
	return out
}

var repeat = regexp.MustCompile(`^\{(\d+)\*([^{}]+)\}`)

func (r *reader) frames(name, text string) (out []frame) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		var inner string
		var ok bool
		switch text[0] {
		case '[':
			if inner, text, ok = strings.Cut(text[1:], "]"); !ok {
				r.t.Fatalf("%s/%s: a block without end", r.file, name)
			}
			f := frame{headers: true, trailers: len(out) > 0}
			for one := range strings.SplitSeq(inner, "|") {
				at := strings.LastIndex(one[:min(1, len(one))], ":") + 1 // a pseudo-field's colon is no separator
				k, v, _ := strings.Cut(one[at:], "=")
				f.fields = append(f.fields, [2]string{one[:at] + string(r.unescape(k)), string(r.unescape(v))})
			}
			out = append(out, f)
		case '"':
			if inner, text, ok = strings.Cut(text[1:], `"`); !ok {
				r.t.Fatalf("%s/%s: data without end", r.file, name)
			}
			out = append(out, frame{data: r.unescape(inner)})
		case '.':
			out[len(out)-1].end = true
			text = text[1:]
		default:
			r.t.Fatalf("%s/%s: cannot read %q", r.file, name, text)
		}
	}
	return out
}
