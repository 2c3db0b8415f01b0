package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/xds"
)

const (
	atRest = 30 * time.Second // heddled gives memory back some seconds after it has come to rest
	churn  = 30               // seconds with a change each
)

// runPods measures what heddled costs with the pods of a cluster, and how fast changes reach all of their proxies.
func (b *bench) runPods(counts string, services, changes int) error {
	p, err := b.startPlane()
	if err != nil {
		return err
	}
	o, err := newPopulace(p, services)
	if err != nil {
		return err
	}
	c, err := newCrowd(o)
	if err != nil {
		return err
	}
	fmt.Printf("\n### heddled with the pods of %d services in %d namespaces; every proxy sees all services\n", services, namespaces)
	memory := table("pods", "objects alone: RssAnon, PSS", "first sync of all", "heddled's CPU", "peak RSS", "at rest: RssAnon, PSS", "CPU at rest", "with a change of an endpoint each second")
	change := table("pods", "change of", "p50", "p90", "max", "heddled's CPU each")
	for text := range strings.SplitSeq(counts, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("-pods: %w", err)
		}
		if err := o.grow(n); err != nil {
			return err
		}
		if err := c.measure(n, changes, memory, change); err != nil {
			return fmt.Errorf("%d pods: %w", n, err)
		}
	}
	memory.note("Memory in MiB. A proxy gets %d clusters, %d assignments, %d listeners, %d route tables and %d virtual hosts. CPU at rest and with changes is in %% of a core, over %s. The machine's load at the end: %s.",
		c.want[xds.Cluster], c.want[xds.Endpoints], c.want[xds.Listener], c.want[xds.Route], c.want[xds.VirtualHost], atRest, oneLine("/proc/loadavg"))
	memory.end()
	change.note("%d changes each; from the API server's answer until the last proxy has what is new.", changes)
	change.end()
	return nil
}

// measure is one run with n pods and a heddled of its own.
func (c *crowd) measure(n, changes int, memory, change *tables) error {
	p := c.o.p
	if err := p.startHeddled(); err != nil {
		return err
	}
	time.Sleep(atRest)
	row := []string{strconv.Itoa(n), p.memory()}
	if err := p.keepHeap("objects", n); err != nil {
		return err
	}
	held, err := c.scout()
	if err != nil {
		return err
	}
	spent, from := p.spent(), time.Now()
	if err := p.profile(p.name("sync", n), 8*time.Second, func() error { return c.connect(n) }); err != nil {
		return err
	}
	defer c.disconnect()
	row = append(row, fmt.Sprintf("%.1f s", time.Since(from).Seconds()), fmt.Sprintf("%.1f s", (p.spent()-spent).Seconds()))
	if err := c.same(held); err != nil {
		return err
	}
	row = append(row, fmt.Sprintf("%.0f", status(p.heddled, "VmHWM")))
	row = append(row, "", c.idle(2*atRest))
	row[5] = p.memory()
	if err := p.keepHeap("heap", n); err != nil {
		return err
	}
	again, err := c.churned()
	if err != nil {
		return err
	}
	memory.row(append(row, again)...)
	return c.changes(n, changes, change)
}

func (p *plane) name(what string, n int) string { return fmt.Sprintf("heddled-%s-%d.pprof", what, n) }

// keepHeap keeps what the heap is made of, and how much of it is in use.
func (p *plane) keepHeap(what string, n int) error {
	if err := p.keepPage("/debug/pprof/heap", p.name(what, n)); err != nil {
		return err
	}
	return p.keepPage("/metrics", fmt.Sprintf("heddled-%s-%d.txt", what, n))
}

// memory is what heddled holds, in MiB.
func (p *plane) memory() string {
	return fmt.Sprintf("%.1f, %.1f", status(p.heddled, "RssAnon"), smaps(p.heddled, "Pss:")*1000/1024)
}

// idle is the CPU of heddled while nothing changes, in % of a core.
func (c *crowd) idle(length time.Duration) string {
	from := c.o.p.spent()
	time.Sleep(length)
	return percent(c.o.p.spent()-from, length)
}

func percent(spent, length time.Duration) string {
	return fmt.Sprintf("%.2f %%", 100*spent.Seconds()/length.Seconds())
}

// churned is the CPU of heddled while an endpoint changes each second.
func (c *crowd) churned() (string, error) {
	from, begun := c.o.p.spent(), time.Now()
	for i := range churn {
		if _, err := c.moveEndpoint(i); err != nil {
			return "", err
		}
		time.Sleep(time.Until(begun.Add(time.Duration(i+1) * time.Second)))
	}
	return percent(c.o.p.spent()-from, time.Since(begun)), nil
}

// changes measures how long changes take.
func (c *crowd) changes(n, changes int, out *tables) error {
	for _, kind := range []struct {
		name string
		make func(int) (time.Duration, error)
	}{{"an endpoint", c.moveEndpoint}, {"a route of a VirtualService", c.moveRoute}} {
		var all []time.Duration
		from := c.o.p.spent()
		err := c.o.p.profile(c.o.p.name(strings.Fields(kind.name)[1], n), 8*time.Second, func() error {
			for i := range changes {
				took, err := kind.make(churn + i)
				if err != nil {
					return err
				}
				all = append(all, took)
				time.Sleep(100 * time.Millisecond)
			}
			return nil
		})
		if err != nil {
			return err
		}
		q := quantiles(all, 100*time.Microsecond)
		out.row(strconv.Itoa(n), kind.name, q[0], q[1], q[3], ((c.o.p.spent() - from) / time.Duration(changes)).Round(100*time.Microsecond).String())
	}
	return nil
}

// moveEndpoint gives a service one endpoint more, with an address that nobody had before, in the place of the last such one.
func (c *crowd) moveEndpoint(i int) (time.Duration, error) {
	address := netip.AddrFrom4([4]byte{10, 99, 100 + byte(i/100), 100 + byte(i%100)}) // all are of the same length, so that none is the beginning of another
	return c.await(xds.Endpoints, address.String(), func() error { return c.o.slice(i%c.o.services, &address) })
}

// moveRoute gives a VirtualService another path.
func (c *crowd) moveRoute(i int) (time.Duration, error) {
	path := fmt.Sprintf("path-%d", i)
	return c.await(xds.VirtualHost, "/"+path+"/", func() error { return c.o.route(i%c.o.services/10*10, path) })
}

// profile keeps a CPU profile of heddled while f runs, if there is a folder for profiles.
func (p *plane) profile(name string, length time.Duration, f func() error) error {
	if p.b.profiles == "" {
		return f()
	}
	kept := make(chan error, 1)
	go func() {
		kept <- p.keepPage(fmt.Sprintf("/debug/pprof/profile?seconds=%d", int(length.Seconds())), name)
	}()
	err := f()
	if e := <-kept; err == nil {
		err = e
	}
	return err
}
