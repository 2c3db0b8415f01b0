package interop_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/api"
	closed "github.com/heddle-mesh/heddle/control/translate/world"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/test/ledger"
)

// exhibit is what one fixture says of a row: its objects, and a judge who tells what becomes of them, in words that the fixture holds.
type exhibit struct {
	name    string
	objects []map[string]any
	config  map[string]any // MeshConfig, or what about says
	about   string
	judge   func(objects []map[string]any, config map[string]any) verdict
	told    []mesh.Problem // what users are told of the objects as they are
	before  verdict        // what becomes of the objects as they are
	wrong   bool           // the objects are refused, which is no proof of what right ones do
	want    string         // what the fixture holds; "" where it is held in another form
}

// verdict is what becomes of objects, and whether one of them is refused, so that nothing becomes of it.
type verdict struct {
	text    string
	refused bool
}

// TestLedger is the proof of docs/features/coverage.md: each row that is said to work has a fixture that fails without it (the row is taken out of the fixture's objects, as
// if nobody read it, and what they compile to must not be what the fixture holds), and each that does not work is told. Rows with neither are open, which only some subjects may have.
func TestLedger(t *testing.T) {
	proofs := &proofs{works: map[ledger.Row][]string{}, told: map[ledger.Row]mesh.Problem{}, light: map[ledger.Row][]*exhibit{}, whole: map[string]mesh.Problem{}, wide: map[ledger.Row]mesh.Problem{}}
	rows := ledger.Rows()
	all := slices.Concat(compiledExhibits(t), translatedExhibits(t), settingsExhibits(t), injectedExhibits(t), marksExhibits(t), deployedExhibits(t), networksExhibits(t), registeredExhibits(t))
	t.Run("fixtures", func(t *testing.T) {
		for _, e := range all {
			t.Run(e.name, func(t *testing.T) {
				t.Parallel()
				proofs.hear(t, &e, rows)
			})
		}
	})
	proofs.weigh(t, rows)
	var entries []ledger.Entry
	empty := map[string][]string{}
	for _, r := range rows {
		e := proofs.entry(r)
		entries = append(entries, e)
		if e.IsZero() {
			empty[r.Subject] = append(empty[r.Subject], r.String())
		}
	}
	for _, subject := range pending {
		if len(empty[subject]) == 0 {
			t.Errorf("no row of %s is open any more: take it out of the list", subject)
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(empty)) {
		if slices.Contains(pending, subject) {
			t.Logf("%s: %d rows are open", subject, len(empty[subject]))
			continue
		}
		t.Errorf("%s: %d rows have neither a fixture that fails without them nor a word to the user:\n\t%s", subject, len(empty[subject]), strings.Join(empty[subject], "\n\t"))
	}
	const page = "../../docs/features/coverage.md"
	if want := ledger.Page(entries); *update {
		must(t, os.WriteFile(page, []byte(want), 0o644))
	} else if got, err := os.ReadFile(page); err != nil || string(got) != want {
		t.Error("docs/features/coverage.md is not what the fixtures say; go test -run TestLedger -update ./test/interop writes it ", err)
	}
}

// pending are the subjects of which rows are open; the page says which.
var pending = []string{}

// proofs are what the fixtures said.
type proofs struct {
	mu    sync.Mutex
	works map[ledger.Row][]string
	told  map[ledger.Row]mesh.Problem
	light map[ledger.Row][]*exhibit   // in which a row makes no difference
	whole map[string]mesh.Problem     // of kinds that nothing reads
	wide  map[ledger.Row]mesh.Problem // of fields that nothing reads, whatever is in them
}

// bothPlanesFirst puts the fixtures that run on both data planes before others.
func bothPlanesFirst(a, b string) int {
	return cmp.Or(strings.Count(a, "/")-strings.Count(b, "/"), strings.Compare(a, b))
}

func (p *proofs) entry(r ledger.Row) ledger.Entry {
	e := ledger.Entry{Row: r}
	if problem, ok := p.whole[r.Subject]; ok { // whatever is taken out of an object that nobody reads
		e.Told = problem.Message
		return e
	}
	if list := p.works[r]; len(list) > 0 {
		slices.SortFunc(list, bothPlanesFirst)
		e.Fixture = list[0]
		return e
	}
	if problem, ok := p.told[r]; ok {
		e.Told = problem.Message
	} else if problem, ok := p.above(r); ok {
		e.Told = problem.Message
	}
	if e.Told == "" {
		e.Same = r.Same()
	}
	return e
}

// above gives what is told of a field as a whole in which the row stands, where no part of it is told apart.
func (p *proofs) above(r ledger.Row) (mesh.Problem, bool) {
	field := plainField(r.Path)
	for {
		i := strings.LastIndexByte(field, '.')
		if i < 0 {
			return mesh.Problem{}, false
		}
		field = field[:i]
		if problem, ok := p.wide[ledger.Row{Subject: r.Subject, Path: field}]; ok {
			return problem, true
		}
	}
}

// hear takes every row out of an exhibit that has it, one after the other.
func (p *proofs) hear(t *testing.T, e *exhibit, rows []ledger.Row) {
	before := e.judge(e.objects, e.config)
	e.before = before
	if e.want != "" && before.text != e.want {
		t.Errorf("%s: the ledger does not read the fixture as its own test does: %s", e.name, gocmp.Diff(e.want, before.text))
	}
	for _, r := range rows {
		if !e.has(r) {
			continue
		}
		told, yes := e.refuses(before, r, rows)
		if !yes {
			if e.wrong {
				continue
			}
			if !e.depends(before, r, rows) {
				p.mu.Lock()
				p.light[r] = append(p.light[r], e)
				p.mu.Unlock()
				continue
			}
			told, yes = e.says(r)
		}
		p.mu.Lock()
		if !yes {
			p.works[r] = append(p.works[r], e.name)
		} else if old, ok := p.told[r]; !ok || told.Message < old.Message {
			p.told[r] = told
		}
		p.mu.Unlock()
	}
	for _, problem := range e.told {
		if subject := e.configures(); strings.Contains(problem.Message, "is not honoured") || strings.Contains(problem.Message, "enforced yet") || problem.Code == mesh.CodeDenied {
			if k := api.Find(problem.Object.Group, problem.Object.Kind); k != nil {
				subject = ledger.Subject(k)
			}
			p.mu.Lock()
			p.wide[ledger.Row{Subject: subject, Path: plainField(problem.Field)}] = problem
			p.mu.Unlock()
		}
		if problem.Field == "" && problem.Code == mesh.CodeNotEnforced {
			if k := api.Find(problem.Object.Group, problem.Object.Kind); k != nil && !k.Handled {
				p.mu.Lock()
				p.whole[ledger.Subject(k)] = problem
				p.mu.Unlock()
			}
		}
	}
}

// depends says whether something else becomes of the objects without the row. Where they are refused without it, nobody knows whether it is read: then it must be so without what says nothing but
// the row, or of one of the other values that it might have.
func (e *exhibit) depends(before verdict, r ledger.Row, rows []ledger.Row) bool {
	after := e.without(func(o map[string]any) bool { r.Strip(o); return true }, r)
	if after.refused == before.refused {
		return after.text != before.text
	}
	some := false
	whole := e.without(func(o map[string]any) bool { some = r.StripWhole(o) || some; return true }, r)
	return some && whole.refused == before.refused && whole.text != before.text || e.differs(before, r, rows)
}

// differs says whether something else becomes of the objects, and they are not refused, when the row has one of the other values that it might have.
func (e *exhibit) differs(before verdict, r ledger.Row, rows []ledger.Row) bool {
	for n := range mostWays {
		changed := false
		after := e.without(func(o map[string]any) bool { changed = r.Alter(o, n, rows) || changed; return true }, r)
		if changed && after.refused == before.refused && after.text != before.text {
			return true
		}
	}
	return false
}

// weigh looks at the rows that no fixture fails without because they say what counts anyway, such as the one kind to which a reference may lead: they work where a fixture fails
// when they say something else, and nothing is said against what they say.
func (p *proofs) weigh(t *testing.T, rows []ledger.Row) {
	t.Run("values", func(t *testing.T) {
		for _, r := range rows {
			if _, unread := p.whole[r.Subject]; unread || len(p.works[r]) > 0 || len(p.light[r]) == 0 {
				continue
			}
			slices.SortFunc(p.light[r], func(a, b *exhibit) int { return bothPlanesFirst(a.name, b.name) })
			t.Run(r.String(), func(t *testing.T) {
				t.Parallel()
				i := slices.IndexFunc(p.light[r], func(e *exhibit) bool { return !e.complains(r) && e.differs(e.before, r, rows) })
				if i < 0 {
					return
				}
				p.mu.Lock()
				defer p.mu.Unlock()
				p.works[r] = []string{p.light[r][i].name}
			})
		}
	})
}

// complains says whether the fixture's own objects are said to be wrong in the row.
func (e *exhibit) complains(r ledger.Row) bool {
	return slices.ContainsFunc(e.told, func(p mesh.Problem) bool {
		field := plainField(p.Field)
		return field != "" && (field == plainField(r.Path) || strings.HasPrefix(plainField(r.Path), field+"."))
	})
}

// refuses gives why the row itself is refused, whatever its value (an enumeration's: just this one), so that nobody can have it.
func (e *exhibit) refuses(before verdict, r ledger.Row, rows []ledger.Row) (mesh.Problem, bool) {
	for _, p := range e.told {
		said := p.Field + ": " + p.Message
		if p.Code != mesh.CodeInvalid || plainField(p.Field) != plainField(r.Path) || !strings.Contains(p.Message, r.Value) || !strings.Contains(before.text, said) ||
			r.Value == "" && strings.HasSuffix(p.Field, "]") { // one of several
			continue
		}
		without := e.without(func(o map[string]any) bool { r.Strip(o); return true }, r)
		if whatever := r.Value == ""; !strings.Contains(without.text, said) && e.saidOfOthers(said, r, rows) == whatever {
			return p, true
		}
	}
	return mesh.Problem{}, false
}

// saidOfOthers says whether the same is said of all other values of the row.
func (e *exhibit) saidOfOthers(said string, r ledger.Row, rows []ledger.Row) bool {
	all := true
	for n := range mostWays {
		changed := false
		after := e.without(func(o map[string]any) bool { changed = r.Alter(o, n, rows) || changed; return true }, r)
		if changed && !strings.Contains(after.text, said) {
			all = false
		}
	}
	return all
}

// mostWays bounds how many other values are tried.
const mostWays = 12

// without judges the objects after a change of the part in which a row stands.
func (e *exhibit) without(change func(map[string]any) bool, r ledger.Row) verdict {
	objects, config := clone(e.objects), clone([]map[string]any{e.config})[0]
	if r.Subject == e.configures() {
		change(config)
	} else {
		for _, o := range objects {
			below(r, o, change)
		}
	}
	return e.judge(objects, config)
}

// configures is the subject of the configuration.
func (e *exhibit) configures() string { return cmp.Or(e.about, ledger.MeshConfig) }

func (e *exhibit) has(r ledger.Row) bool {
	if r.Subject == e.configures() {
		return r.Has(e.config)
	}
	return slices.ContainsFunc(e.objects, func(o map[string]any) bool { return below(r, o, r.Has) })
}

// says gives what the user is told of the row.
func (e *exhibit) says(r ledger.Row) (mesh.Problem, bool) {
	for _, p := range e.told {
		if p.Code != mesh.CodeNotEnforced && p.Code != mesh.CodeDenied && p.Code != mesh.CodeUnsupported || p.Field == "" {
			continue
		}
		field := plainField(p.Field)
		if field == plainField(r.Path) || strings.HasPrefix(plainField(r.Path), field+".") || strings.Contains(p.Field, fmt.Sprintf("[%q]", r.Path)) {
			return p, true
		}
	}
	return mesh.Problem{}, false
}

var brackets = regexp.MustCompile(`\[[^\]]*\]|\{\}`)

func plainField(path string) string {
	return brackets.ReplaceAllString(strings.TrimPrefix(path, "spec."), "")
}

// below applies f to that part of an object in which a row of its subject stands.
func below(r ledger.Row, o map[string]any, f func(map[string]any) bool) bool {
	part := "spec"
	switch r.Subject {
	case ledger.Annotations, ledger.Labels:
		part = strings.ToLower(r.Subject)
		o, _ = o["metadata"].(map[string]any)
	default:
		version, _ := o["apiVersion"].(string)
		kind, _ := o["kind"].(string)
		group, _, _ := strings.Cut(version, "/")
		k := api.Find(group, kind)
		if k == nil || ledger.Subject(k) != r.Subject {
			return false
		}
	}
	m, ok := o[part].(map[string]any)
	return ok && f(m)
}

func clone(list []map[string]any) []map[string]any {
	out := make([]map[string]any, len(list))
	for i, m := range list {
		out[i], _ = cloneValue(m).(map[string]any)
	}
	return out
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = cloneValue(x)
		}
		return out
	case map[any]any: // YAML with keys that are no strings, such as ports
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[fmt.Sprint(k)] = cloneValue(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = cloneValue(x)
		}
		return out
	}
	return v
}

// documents reads a stream of YAML.
func documents(t *testing.T, text string) (out []map[string]any) {
	t.Helper()
	for doc := range strings.SplitSeq("\n"+text, "\n---") {
		var m map[string]any
		must(t, yamlv3.Unmarshal([]byte(doc+"\n"), &m))
		if m != nil {
			out = append(out, cloneValue(m).(map[string]any))
		}
	}
	return out
}

// stream writes objects as JSON, which has one meaning for every reader.
func stream(objects []map[string]any) []byte {
	var b bytes.Buffer
	for _, o := range objects {
		text, err := json.Marshal(o)
		if err != nil {
			panic(err)
		}
		b.WriteString("---\n")
		b.Write(text)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// compiledExhibits are the fixtures of this folder, each step with what it compiles to.
func compiledExhibits(t *testing.T) (out []exhibit) {
	cert := certificate(t)
	dir := t.TempDir()
	for _, f := range fixtures(t) {
		for i, s := range f.steps {
			if s.xds == "" {
				continue
			}
			e := exhibit{name: f.name, want: s.xds, objects: documents(t, withCertificate(cert, s.mesh)), judge: func(objects []map[string]any, config map[string]any) verdict {
				at := filepath.Join(dir, fmt.Sprintf("%s-%d", f.name, i))
				c, problems, err := compileMesh(at, string(marshal(config)), string(stream(objects)))
				if err != nil {
					return verdict{err.Error(), true}
				}
				out, err := c.render(s.xds)
				if err != nil {
					return verdict{text: err.Error()}
				}
				return verdict{out, !api.Valid(problems)}
			}}
			must(t, yaml.Unmarshal([]byte(f.meshConfig), &e.config))
			_, problems, err := compileMesh(mkdir(t, filepath.Join(dir, fmt.Sprintf("%s-%d", f.name, i))), f.meshConfig, withCertificate(cert, s.mesh))
			must(t, err)
			e.told = problems
			out = append(out, e)
		}
	}
	return out
}

// translatedExhibits are the goldens of translation: what an object means, and what its status says.
func translatedExhibits(t *testing.T) (out []exhibit) {
	defaults := &mesh.Settings{TrustDomain: "cluster.local", RootNamespace: mesh.RootNamespace, ClusterDomain: "cluster.local"}
	for _, dialect := range []string{"istio", "gateway"} {
		for name, a := range archives(t, "control/translate/"+dialect+"/testdata/") {
			if strings.Contains(name, "unreadable") {
				continue
			}
			input := a.Files[0].Data
			results, rest := closed.Load(defaults, input, "")
			e := exhibit{name: name, wrong: strings.Contains(name, "broken"), want: string(a.Files[1].Data), objects: documents(t, string(input)), told: rest, judge: func(objects []map[string]any, _ map[string]any) verdict {
				results, rest := closed.Load(defaults, stream(objects), "")
				refused := slices.ContainsFunc(results, func(r closed.Result) bool { return !api.Valid(r.Problems) })
				return verdict{closed.Report(results, rest), refused || !api.Valid(rest)}
			}}
			for _, r := range results {
				e.told = append(e.told, r.Problems...)
			}
			out = append(out, e)
		}
	}
	return out
}

func mkdir(t *testing.T, dir string) string {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	return dir
}
