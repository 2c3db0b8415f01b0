package register

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/mesh"
)

const group = `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: vms, namespace: shop}
spec: {metadata: {labels: {app: web}}, template: {serviceAccount: web}}
`

// nothing is a record without versions.
type nothing struct{}

func (nothing) Get(api.Ref) (api.Object, bool) { return api.Object{}, false }

// desks are several control planes with one store, as replicas with one API.
type desks struct {
	t     *testing.T
	store *config.Store
	api   *Memory
	all   []*Registrar
}

func open(t *testing.T, objects string, names ...string) *desks {
	t.Helper()
	d := &desks{t: t, store: config.New()}
	d.api = NewMemory(d.store)
	list, problems := api.DecodeAll([]byte(objects), "")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, o := range list {
		d.store.Put("test", o, nil)
	}
	for _, n := range names {
		r := New(Options{Objects: d.store, Accepted: nothing{}, Entries: d.api, Instance: n, Collect: true})
		go func() { _ = r.Run(r.live) }()
		d.all = append(d.all, r)
	}
	return d
}

func (d *desks) close() {
	for _, r := range d.all {
		r.Close()
	}
	synctest.Wait()
}

func (d *desks) visit(at int, ip string) *Registration {
	d.t.Helper()
	g, err := d.all[at].Register(context.Background(), proxy(ip), true)
	if err != nil {
		d.t.Fatal(err)
	}
	synctest.Wait()
	return g
}

func proxy(ip string) *mesh.Proxy {
	return &mesh.Proxy{ID: "vm", Name: "vm", Namespace: "shop", ServiceAccount: "web", Addresses: []netip.Addr{netip.MustParseAddr(ip)}, Metadata: map[string]string{metaGroup: "vms"}}
}

// mark is an annotation of an entry, "none" without the entry.
func (d *desks) mark(ip, name string) string {
	synctest.Wait()
	o, err := d.api.Read(context.Background(), entryRef("shop", "vms-"+ip))
	if err != nil {
		return "none"
	}
	return o.Meta.Annotations[name]
}

func (d *desks) want(ip, name, value, when string) {
	d.t.Helper()
	if got := d.mark(ip, name); got != value {
		d.t.Errorf("%s: %s is %q, want %q", when, name, got, value)
	}
}

// The newest connection has the entry, whatever is heard later of older ones.
func TestConnectionsToSeveralControlPlanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, group, "a", "b")
		defer d.close()
		first := d.visit(0, "10.0.0.1")
		d.want("10.0.0.1", markController, "a", "connected")
		time.Sleep(time.Minute)
		second := d.visit(1, "10.0.0.1")
		d.want("10.0.0.1", markController, "b", "connected elsewhere")
		first.Release()
		time.Sleep(time.Minute)
		d.want("10.0.0.1", markController, "b", "the older connection ended")
		d.want("10.0.0.1", markDisconnected, "", "the older connection ended")
		third := d.visit(0, "10.0.0.1")
		second.Release()
		third.Release()
		time.Sleep(time.Second)
		if d.mark("10.0.0.1", markDisconnected) == "" {
			t.Error("nobody marked the entry of a workload that left")
		}
		time.Sleep(10 * time.Second)
		d.want("10.0.0.1", markController, "none", "the workload did not come back")
	})
}

// Whoever comes back in time keeps the entry, to the same control plane or to another.
func TestComesBackInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, group, "a", "b")
		defer d.close()
		d.visit(0, "10.0.0.1").Release()
		time.Sleep(9 * time.Second)
		d.visit(0, "10.0.0.1")
		d.visit(0, "10.0.0.2").Release()
		time.Sleep(9 * time.Second)
		d.visit(1, "10.0.0.2")
		time.Sleep(time.Hour)
		d.want("10.0.0.1", markController, "a", "an hour later")
		d.want("10.0.0.2", markController, "b", "an hour later")
		two := d.visit(0, "10.0.0.3")
		d.visit(0, "10.0.0.3")
		two.Release()
		time.Sleep(time.Hour)
		d.want("10.0.0.3", markController, "a", "one of two connections ended")
	})
}

// The entry of a control plane that is gone is removed when its proxy found no other one, and so is what belongs to a group that is gone.
func TestOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, group, "a", "b")
		defer d.close()
		d.visit(0, "10.0.0.1")
		d.visit(1, "10.0.0.2")
		d.all[0].Close()
		time.Sleep(24 * time.Minute)
		d.want("10.0.0.1", markController, "a", "not long enough")
		time.Sleep(12 * time.Minute)
		d.want("10.0.0.1", markController, "none", "without a sign of life")
		d.want("10.0.0.2", markController, "b", "with signs of life")
		d.store.Delete("test", api.Ref{Group: api.GroupNetworking, Kind: "WorkloadGroup", Namespace: "shop", Name: "vms"})
		time.Sleep(2 * time.Minute)
		d.want("10.0.0.2", markController, "none", "without its group")
	})
}

func TestHealthIsWrittenOnceAndByItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, group, "a", "b")
		defer d.close()
		status := func() string {
			synctest.Wait()
			o, _ := d.api.Read(context.Background(), entryRef("shop", "vms-10.0.0.1"))
			c := healthy(o)
			if c == nil {
				return "nothing"
			}
			text, _ := c["message"].(string)
			return c["status"].(string) + " " + text
		}
		first := d.visit(0, "10.0.0.1")
		first.Probed(false, "refused")
		if got := status(); got != "False refused" {
			t.Error(got)
		}
		first.Probed(false, strings.Repeat("x", 5000))
		first.Probed(true, "")
		if got := status(); got != "True " {
			t.Error("the newest counts: ", got)
		}
		time.Sleep(time.Second)
		second := d.visit(1, "10.0.0.1")
		first.Probed(false, "late")
		if got := status(); got != "True " {
			t.Error("another control plane has the entry: ", got)
		}
		second.Probed(false, strings.Repeat("x", 5000))
		if got := status(); len(got) > 1100 {
			t.Error(len(got))
		}
	})
}

// fails is an API that refuses some calls.
type fails struct {
	*Memory
	left int
}

func (f *fails) Delete(ctx context.Context, o api.Object) error {
	if f.left--; f.left >= 0 {
		return errors.New("the API is away")
	}
	return f.Memory.Delete(ctx, o)
}

func (f *fails) Annotate(ctx context.Context, o api.Object, set map[string]string) error {
	if f.left--; f.left >= 0 {
		return errors.New("the API is away")
	}
	return f.Memory.Annotate(ctx, o, set)
}

func TestTheAPIIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, group, "a")
		defer d.close()
		r := d.all[0]
		r.opts.Entries = &fails{d.api, 7}
		d.visit(0, "10.0.0.1").Release()
		time.Sleep(time.Minute)
		d.want("10.0.0.1", markController, "none", "the API came back")
	})
}

func TestRefusals(t *testing.T) {
	d := open(t, group, "a")
	defer d.all[0].Close()
	for _, c := range []struct {
		change func(*mesh.Proxy)
		proven bool
		want   string
	}{
		{func(*mesh.Proxy) {}, false, "must prove"},
		{func(p *mesh.Proxy) { p.Addresses = nil }, true, "no address of its own"},
		{func(p *mesh.Proxy) { p.ServiceAccount = "other" }, true, "service account web"},
		{func(p *mesh.Proxy) { p.Labels = mesh.Labels{"a b": "c"} }, true, `the label "a b" with value "c", which is none`},
		{func(p *mesh.Proxy) { p.Labels = mesh.Labels{"a": strings.Repeat("x", 64)} }, true, "which is none"},
		{func(p *mesh.Proxy) {
			p.Labels = mesh.Labels{}
			for i := range 300 {
				p.Labels[fmt.Sprint("l", i)] = "x"
			}
		}, true, "301 labels"},
		{func(p *mesh.Proxy) { p.Namespace = "other" }, true, "WorkloadGroup other/vms, which does not exist"},
	} {
		p := proxy("10.0.0.1")
		c.change(p)
		var refusal Refusal
		if _, err := d.all[0].Register(context.Background(), p, c.proven); !errors.As(err, &refusal) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestLongNames(t *testing.T) {
	p := proxy("2001:db8::1")
	p.Metadata["NETWORK"] = "net"
	if name, err := Name("g", p); err != nil || name != "g-2001-db8--1-net" {
		t.Error(name, err)
	}
	if name, _ := Name(strings.Repeat("g.", 126)+"g", p); len(name) > maxName || !strings.HasSuffix(name, "-2001-db8--1-net") || strings.HasPrefix(name, ".") {
		t.Error(name)
	}
}
