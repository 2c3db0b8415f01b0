package redirect

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Pods are the maps that say what is captured. Several processes may work on pinned ones: each change is made under a lock of their folder.
type Pods struct {
	maps   objectMaps
	folder string // of the pins, "" without
}

// Open opens the maps of programs that are in force. It is for those who enrol pods and do not look after the programs.
func Open(pin string) (*Pods, error) {
	p := &Pods{folder: filepath.Join(pin, layout)}
	if !inForce(p.folder) {
		return nil, fmt.Errorf("these programs are not in force at %s", p.folder)
	}
	for name, m := range map[string]**ebpf.Map{
		objectMapPods: &p.maps.Pods, objectMapRanges: &p.maps.Ranges, objectMapRules: &p.maps.Rules, objectMapPlaces: &p.maps.Places, objectMapPending: &p.maps.Pending,
	} {
		var err error
		if *m, err = ebpf.LoadPinnedMap(filepath.Join(p.folder, name), nil); err != nil {
			return nil, errors.Join(fmt.Errorf("open the pinned map %s: %w", name, err), p.maps.Close())
		}
	}
	return p, nil
}

// Close lets go of the maps.
func (p *Pods) Close() error { return p.maps.Close() }

// Enrol captures a pod from now on, or changes how, in one step: a connection sees the old or the new state as a whole.
func (p *Pods) Enrol(pod Pod) error {
	return p.locked(func() error {
		e := entriesOf(pod, 1+rand.Uint64N(1<<63))
		var old objectPod
		err := p.maps.Pods.Lookup(pod.Cookie, &old)
		if err == nil || errors.Is(err, ebpf.ErrKeyNotExist) {
			err = cmp.Or(p.write(e), p.maps.Pods.Put(pod.Cookie, e.pod))
		}
		if err != nil {
			return errors.Join(fmt.Errorf("capture network namespace %d: %w", pod.Cookie, err), p.drop(e.pod.Table))
		}
		if old.Table == 0 {
			return nil
		}
		settle()
		return p.drop(old.Table)
	})
}

// Release ends the capture of a namespace. Connections that are open go on. It is no error when nothing was captured.
func (p *Pods) Release(cookie uint64) error {
	return p.locked(func() error {
		var old objectPod
		err := p.maps.Pods.Lookup(cookie, &old)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err = cmp.Or(err, p.maps.Pods.Delete(cookie)); err != nil {
			return fmt.Errorf("release network namespace %d: %w", cookie, err)
		}
		settle()
		return p.drop(old.Table)
	})
}

// Enrolled says whether a namespace is captured.
func (p *Pods) Enrolled(cookie uint64) (bool, error) {
	var pod objectPod
	err := p.maps.Pods.Lookup(cookie, &pod)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return false, nil
	}
	return err == nil, err
}

// All are the cookies of the namespaces that are captured, in no order.
func (p *Pods) All() (cookies []uint64, err error) {
	var cookie uint64
	var pod objectPod
	all := p.maps.Pods.Iterate()
	for all.Next(&cookie, &pod) {
		cookies = append(cookies, cookie)
	}
	if err := all.Err(); err != nil {
		return nil, fmt.Errorf("read the captured network namespaces: %w", err)
	}
	return cookies, nil
}

// Pending is the number of redirected connections that no proxy has accepted yet, and of such that failed lately.
func (p *Pods) Pending() (n int, err error) {
	var t objectTuple
	var to objectPlace
	all := p.maps.Pending.Iterate()
	for all.Next(&t, &to) {
		n++
	}
	if err := all.Err(); err != nil {
		return n, fmt.Errorf("count connections that are on their way: %w", err)
	}
	return n, nil
}

// locked keeps other processes from changing the pinned maps.
func (p *Pods) locked(do func() error) error {
	if p.folder == "" {
		return do()
	}
	f, err := os.Open(p.folder)
	if err != nil {
		return fmt.Errorf("lock the pinned maps: %w", err)
	}
	defer f.Close() // and so unlocks
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return fmt.Errorf("lock the pinned maps: %w", err)
	}
	return do()
}

func (p *Pods) write(e entries) error {
	for key, flags := range e.ranges {
		if err := p.maps.Ranges.Put(key, flags); err != nil {
			return fmt.Errorf("write a range: %w", err)
		}
	}
	for key, flags := range e.rules {
		if err := p.maps.Rules.Put(key, flags); err != nil {
			return fmt.Errorf("write a rule: %w", err)
		}
	}
	return nil
}

// drop removes the ranges and rules of one table.
func (p *Pods) drop(table uint64) error { return p.sweep(func(t uint64) bool { return t == table }) }

// leftovers removes what no pod refers to: the rest of an enrolment that was cut short.
func (p *Pods) leftovers() error {
	used := map[uint64]bool{}
	var cookie uint64
	var pod objectPod
	pods := p.maps.Pods.Iterate()
	for pods.Next(&cookie, &pod) {
		used[pod.Table] = true
	}
	if err := pods.Err(); err != nil {
		return fmt.Errorf("read the captured network namespaces: %w", err)
	}
	return p.sweep(func(t uint64) bool { return !used[t] })
}

// sweep removes the ranges and rules of some tables.
func (p *Pods) sweep(which func(table uint64) bool) error {
	var flags uint32
	var r objectRangeKey
	var oldRanges []objectRangeKey
	ranges := p.maps.Ranges.Iterate()
	for ranges.Next(&r, &flags) {
		if which(r.Table) {
			oldRanges = append(oldRanges, r)
		}
	}
	var u objectRuleKey
	var oldRules []objectRuleKey
	rules := p.maps.Rules.Iterate()
	for rules.Next(&u, &flags) {
		if which(u.Table) {
			oldRules = append(oldRules, u)
		}
	}
	errs := []error{ranges.Err(), rules.Err()}
	for _, key := range oldRanges {
		errs = append(errs, p.maps.Ranges.Delete(key))
	}
	for _, key := range oldRules {
		errs = append(errs, p.maps.Rules.Delete(key))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove what is not captured any more: %w", err)
	}
	return nil
}

// membarrierGlobal waits for an RCU grace period (linux/membarrier.h).
const membarrierGlobal = 1

// settle waits until no program works with what was replaced before the call.
func settle() {
	_, _, _ = unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0) // where it is forbidden, a call of this very microsecond may miss a rule
}
