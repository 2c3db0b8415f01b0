package cni_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/node/cni"
	"github.com/heddle-mesh/heddle/data/node/enrol"
)

// agent knows the pods shop/web (captured), shop/plain (not) and shop/odd (unknown).
type agent struct {
	mu      sync.Mutex
	reports []string
	heard   chan struct{}
}

func (a *agent) Enrol(_ context.Context, p enrol.Pod) (*capture.Spec, string, error) {
	switch p.String() {
	case "shop/web":
		return &capture.Spec{DNS: true}, "", nil
	case "shop/plain":
		return nil, "it has no proxy", nil
	}
	return nil, "", errors.New("there is no such pod")
}

func (a *agent) Reported(p enrol.Pod, r enrol.Report) {
	a.mu.Lock()
	a.reports = append(a.reports, p.String()+" "+p.UID+" "+r.Way+"|"+r.Fell+"|"+r.Error)
	a.mu.Unlock()
	a.heard <- struct{}{}
}

func serve(t *testing.T) (*agent, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "cni.sock")
	l, err := enrol.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{heard: make(chan struct{}, 9)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- enrol.Serve(ctx, l, a) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return a, path
}

// way notes what is done with it.
type way struct {
	name   string
	fails  error
	there  bool
	events []string
}

func (w *way) String() string { return w.name }
func (w *way) Apply(s capture.Spec) error {
	w.events = append(w.events, "apply")
	if !s.DNS {
		return errors.New("another spec")
	}
	w.there = w.fails == nil
	return w.fails
}
func (w *way) Remove() error          { w.events, w.there = append(w.events, "remove"), false; return w.fails }
func (w *way) Present() (bool, error) { return w.there, w.fails }

// result has spaces and an order of its own, which must come out as they went in.
const result = `{ "cniVersion":"1.0.0",  "ips":[ {"address":"10.0.0.5/24"} ],"dns":{} , "interfaces":[]}`

type call struct {
	command, args, netns, config string
	ways                         []capture.Way
}

func (c call) run(t *testing.T) (out string, code int, path string) {
	t.Helper()
	var b bytes.Buffer
	env := map[string]string{"CNI_COMMAND": c.command, "CNI_ARGS": c.args, "CNI_NETNS": c.netns}
	p := cni.Plugin{Env: func(k string) string { return env[k] }, In: strings.NewReader(c.config), Out: &b, Ways: c.ways, Patience: 5 * time.Second,
		Within: func(at string, do func() error) error { path = at; return do() }}
	code = p.Run()
	return b.String(), code, path
}

func conf(agent, more string) string {
	return `{"cniVersion":"1.0.0","name":"lab","type":"heddle-cni","agent":"` + agent + `","excludeNamespaces":["kube-system"],` + more + `"prevResult":` + result + `}`
}

const web = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=1;K8S_POD_UID=u1"

func TestAddCaptures(t *testing.T) {
	a, socket := serve(t)
	bad, good := &way{name: "first", fails: errors.New("no module")}, &way{name: "second"}
	out, code, path := call{command: "ADD", args: web, netns: "/run/netns/x", config: conf(socket, `"runtimeConfig":{"io.kubernetes.cri.pod-annotations":{"heddle.dev/capture":"[]"}},`), ways: []capture.Way{bad, good}}.run(t)
	if out != result || code != 0 || path != "/run/netns/x" || !good.there {
		t.Errorf("code %d in %s: %s", code, path, out)
	}
	<-a.heard
	if want := "shop/web u1 second|first does not work: no module|"; !slices.Equal(a.reports, []string{want}) {
		t.Errorf("reported %q, want %q", a.reports, want)
	}
	// Nothing works: the pod does not start.
	out, code, _ = call{command: "ADD", args: web, netns: "/run/netns/x", config: conf(socket, ""), ways: []capture.Way{bad}}.run(t)
	var f cni.Fault
	if err := json.Unmarshal([]byte(out), &f); err != nil || code != 1 || f.Code != 100 || f.Version != "1.0.0" || !strings.Contains(f.Details, "pod shop/web cannot be led to its proxy: first does not work: no module") {
		t.Errorf("%d: %s", code, out)
	}
	<-a.heard
	if got := a.reports[1]; !strings.HasSuffix(got, "|first does not work: no module") {
		t.Error(got)
	}
}

func TestPodsThatAreLeftAlone(t *testing.T) {
	_, socket := serve(t)
	gone := filepath.Join(t.TempDir(), "gone.sock")
	annotations := func(text string) string {
		return `"runtimeConfig":{"io.kubernetes.cri.pod-annotations":` + text + `},`
	}
	for name, c := range map[string]call{
		"no proxy, says the agent":                       {args: "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=plain", config: conf(socket, "")},
		"no proxy, says the runtime, the agent is away":  {args: web, config: conf(gone, annotations(`{"a":"b"}`))},
		"a system namespace, the agent is away":          {args: "K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=dns", config: conf(gone, "")},
		"not of Kubernetes, the agent is away":           {args: "", config: conf(gone, "")},
		"a runtime without annotations asks the agent":   {args: "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=plain", config: conf(socket, annotations("null"))},
		"an old configuration":                           {args: "", config: strings.Replace(conf(gone, ""), "1.0.0", "0.4.0", 1)},
		"a new one with what this plug-in does not know": {args: "", config: strings.Replace(conf(gone, `"cni.dev/attachments":[],`), "1.0.0", "1.1.0", 1)},
	} {
		w := &way{name: "way"}
		c.command, c.netns, c.ways = "ADD", "/run/netns/x", []capture.Way{w}
		if out, code, path := c.run(t); out != result || code != 0 || path != "" || len(w.events) > 0 {
			t.Errorf("%s: code %d in %q, %v: %s", name, code, path, w.events, out)
		}
	}
}

func TestFaults(t *testing.T) {
	_, socket := serve(t)
	gone := filepath.Join(t.TempDir(), "gone.sock")
	for name, x := range map[string]struct {
		c    call
		code int
		want string
	}{
		"the agent is away":          {call{command: "ADD", args: web, netns: "/x", config: conf(gone, "")}, 11, "pod shop/web waits for the Heddle node agent, which captures its traffic and does not answer"},
		"the agent does not know":    {call{command: "ADD", args: "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=odd", netns: "/x", config: conf(socket, "")}, 11, "cannot say yet what of pod shop/odd is to be captured: there is no such pod"},
		"no namespace":               {call{command: "ADD", args: web, config: conf(socket, "")}, 4, "CNI_NETNS is missing"},
		"not chained":                {call{command: "ADD", args: web, netns: "/x", config: `{"cniVersion":"1.0.0","agent":"` + socket + `"}`}, 7, "must be chained"},
		"an old version":             {call{command: "ADD", config: `{"cniVersion":"0.2.0"}`}, 1, "the configuration is 0.2.0"},
		"no version":                 {call{command: "ADD", config: `{}`}, 1, "the configuration is 0.1.0"},
		"no JSON":                    {call{command: "ADD", config: `{`}, 6, "unexpected end"},
		"no command":                 {call{config: `{"cniVersion":"1.0.0"}`}, 4, "CNI_COMMAND is missing"},
		"an unknown command":         {call{command: "PUT", config: `{"cniVersion":"1.0.0"}`}, 4, `"PUT" is not one of ADD`},
		"CHECK without a result":     {call{command: "CHECK", args: web, config: `{"cniVersion":"1.0.0"}`}, 7, "CHECK needs prevResult"},
		"CHECK of an uncaptured pod": {call{command: "CHECK", args: web, netns: "/x", config: conf(socket, "")}, 101, "nothing leads the traffic of pod shop/web to its proxy"},
	} {
		x.c.ways = []capture.Way{&way{name: "way"}}
		out, code, _ := x.c.run(t)
		var f cni.Fault
		if err := json.Unmarshal([]byte(out), &f); err != nil || code != 1 || f.Code != x.code || f.Version != "1.0.0" || !strings.Contains(f.Error(), x.want) {
			t.Errorf("%s: %d: %s", name, code, out)
		}
	}
}

func TestOtherCommands(t *testing.T) {
	a, socket := serve(t)
	w := &way{name: "way", there: true}
	out, code, _ := call{command: "VERSION", config: `{"cniVersion":"1.1.0"}`}.run(t)
	if code != 0 || strings.TrimSpace(out) != `{"cniVersion":"1.1.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}` {
		t.Errorf("VERSION %d: %s", code, out)
	}
	for _, c := range []string{"STATUS", "GC"} {
		if out, code, _ := (call{command: c, config: conf(socket+"gone", "")}).run(t); out != "" || code != 0 {
			t.Errorf("%s %d: %s", c, code, out)
		}
	}
	if out, code, _ := (call{command: "CHECK", args: web, netns: "/x", config: conf(socket, ""), ways: []capture.Way{w}}).run(t); out != "" || code != 0 {
		t.Errorf("CHECK %d: %s", code, out)
	}
	<-a.heard
	broken := &way{name: "broken", fails: errors.New("none")}
	for _, c := range []call{{command: "DEL", args: web, netns: "/x", ways: []capture.Way{broken, w}}, {command: "DEL", args: web}, {command: "DEL", netns: "/x", ways: []capture.Way{broken}}, {command: "DEL", netns: "/x", ways: []capture.Way{w}}} {
		c.config = conf(socket+"gone", "")
		if out, code, _ := c.run(t); out != "" || code != 0 {
			t.Errorf("DEL %d: %s", code, out)
		}
	}
	if !slices.Equal(w.events, []string{"remove"}) || len(broken.events) > 0 {
		t.Errorf("%v %v", w.events, broken.events)
	}
}

// TestASocketIsReplaced: a new agent listens in the place of one that still runs, and the old one ends without taking it along.
func TestASocketIsReplaced(t *testing.T) {
	_, socket := serve(t)
	l, err := enrol.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{heard: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- enrol.Serve(ctx, l, a) }()
	if _, code, _ := (call{command: "ADD", args: web, netns: "/x", config: conf(socket, ""), ways: []capture.Way{&way{name: "way"}}}).run(t); code != 0 {
		t.Error("the new agent does not answer")
	}
	<-a.heard
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("unix", socket); err == nil {
		c.Close()
		t.Error("somebody answers at the place of an agent that ended")
	}
}

func FuzzPlugin(f *testing.F) {
	f.Add("ADD", web, conf("/nowhere", ""))
	f.Add("VERSION", "", "{}")
	f.Fuzz(func(t *testing.T, command, args, text string) {
		c := call{command: command, args: args, config: text}
		out, code, _ := c.run(t)
		var f cni.Fault
		if code != 0 && (json.Unmarshal([]byte(out), &f) != nil || f.Code == 0) {
			t.Errorf("%d without a fault: %s", code, out)
		}
	})
}

// TestOnlyWaysOfTheConfigurationAreUsed: in its order; a pod that another way captures is still known.
func TestOnlyWaysOfTheConfigurationAreUsed(t *testing.T) {
	a, socket := serve(t)
	first, second, third := &way{name: "first"}, &way{name: "second", fails: errors.New("no module")}, &way{name: "third"}
	ways := []capture.Way{first, second, third}
	if out, code, _ := (call{command: "ADD", args: web, netns: "/x", config: conf(socket, `"ways":["second","third","unknown"],`), ways: ways}).run(t); code != 0 {
		t.Fatal(out)
	}
	<-a.heard
	if first.there || second.there || !third.there {
		t.Errorf("captured by first=%t second=%t third=%t", first.there, second.there, third.there)
	}
	if want := "shop/web u1 third|second does not work: no module|"; a.reports[0] != want {
		t.Errorf("reported %q, want %q", a.reports[0], want)
	}
	if out, code, _ := (call{command: "CHECK", args: web, netns: "/x", config: conf(socket, `"ways":["first"],`), ways: ways}).run(t); code != 0 {
		t.Error(out)
	}
	<-a.heard
	if out, code, _ := (call{command: "DEL", args: web, netns: "/x", config: conf(socket, `"ways":["first"],`), ways: ways}).run(t); code != 0 || third.there {
		t.Errorf("third is left: %s", out)
	}
}
