package registry

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/mesh"
)

// crowd is an index with so many services that each select all of so many workloads.
func crowd(t testing.TB, services, workloads int) *Index {
	x := New(options(t))
	for i := range services {
		d := service(fmt.Sprint("s", i), mesh.Labels{"app": "x"}, nil)
		d.Origin = ref("ServiceEntry", fmt.Sprint("s", i))
		x.SetDefinition(d.Origin, d)
	}
	for i := range workloads {
		setWorkload(x, i, 1)
	}
	x.Flush()
	return x
}

func setWorkload(x *Index, i int, weight uint32) {
	in := workloadEntry(fmt.Sprint("w", i), netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String(), mesh.Labels{"app": "x"})
	in.Weight = weight
	x.SetInstance(in.ID, in)
}

// BenchmarkOneOfManyWorkloads changes one of 2,000 workloads that 100 services select, and tells how much longer it takes to compute all of their endpoints again.
func BenchmarkOneOfManyWorkloads(b *testing.B) {
	x := crowd(b, 100, 2000)
	var one, all time.Duration
	for i := 0; b.Loop(); i++ {
		at := time.Now()
		setWorkload(x, i%2000, uint32(2+i/2000))
		if d := x.Flush(); len(d.Endpoints) != 100 {
			b.Fatalf("%d services changed", len(d.Endpoints))
		}
		one += time.Since(at)
		if i%20 != 0 {
			continue
		}
		b.StopTimer()
		at = time.Now()
		for id := range x.given {
			x.endpoints.add(id)
		}
		x.Flush()
		all += 20 * time.Since(at)
		b.StartTimer()
	}
	b.ReportMetric(float64(all)/float64(one), "all/one")
}

// TestOneOfManyKeepsTheOthers: what a change does not touch keeps its pointer, and one that comes back in its old form changes nothing.
func TestOneOfManyKeepsTheOthers(t *testing.T) {
	x := crowd(t, 3, 50)
	before := map[mesh.ServiceID]*mesh.EndpointSet{}
	for id, set := range x.given {
		before[id] = set
	}
	setWorkload(x, 7, 5)
	if d := x.Flush(); len(d.Endpoints) != 3 {
		t.Fatalf("%d services changed", len(d.Endpoints))
	}
	for id, set := range x.given {
		for i, e := range set.Endpoints {
			if same := e == before[id].Endpoints[i]; same == (e.Workload.Name == "w7") {
				t.Errorf("%s, endpoint %d of %s: kept %v", id, i, e.Workload.Name, same)
			}
		}
	}
	setWorkload(x, 7, 5)
	if d := x.Flush(); len(d.Endpoints) != 0 {
		t.Errorf("nothing changed, but the endpoints of %d services are told", len(d.Endpoints))
	}
}
