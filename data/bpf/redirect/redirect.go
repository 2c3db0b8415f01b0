// Package redirect captures connections at the socket, without packet filter rules: kernel programs on a cgroup dial what a workload calls to the proxy beside it, and
// tell the proxy the original destination when it asks with SO_ORIGINAL_DST, as netfilter would.
//
// In: Pods, each a network namespace and a capture.Spec. Out: entries in the maps of the programs in redirect.c, and their links to a cgroup. Only what leaves a
// workload is captured here; what arrives is left to the packet filter (Rest). Pinned, programs and maps outlive the process, and the next one takes them over. A value may
// be used by one goroutine at a time.
package redirect

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/node/capture"
)

// layout names the form of the maps. Programs of one layout take over from each other; those of another one are replaced together with their maps.
const layout = "v1"

// DefaultPin is where a node keeps the programs.
const DefaultPin = "/sys/fs/bpf/heddle"

// Options say where the programs run and who keeps them.
type Options struct {
	// Cgroup is a folder of a cgroup2 file system: processes below it are captured. "" is the root of the first one that is mounted.
	Cgroup string
	// Pin is a folder on a BPF file system that keeps programs and maps when the process ends. With "" they end with it, however it ends.
	Pin string
}

// Hooks are the loaded programs and their maps.
type Hooks struct {
	Pods
	options  Options
	programs objectPrograms
	links    []pinned
}

// Rest is what is left of a spec for the packet filter: what arrives, and datagrams but questions for names.
func Rest(s capture.Spec) capture.Spec {
	s.NoOutbound, s.DNS = true, false
	return s
}

// Load checks and loads the programs, takes over pinned maps, and attaches nothing.
func Load(o Options) (*Hooks, error) {
	if o.Cgroup == "" {
		root, err := CgroupRoot()
		if err != nil {
			return nil, err
		}
		o.Cgroup = root
	}
	h := &Hooks{options: o}
	spec, err := loadObject()
	if err != nil {
		return nil, fmt.Errorf("read the capture programs: %w", err)
	}
	if o.Pin != "" {
		if h.folder, err = pinFolder(o.Pin); err != nil {
			return nil, err
		}
		for _, m := range spec.Maps {
			m.Pinning = ebpf.PinByName
		}
	}
	err = h.locked(func() error {
		var objects objectObjects
		if err := spec.LoadAndAssign(&objects, &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: h.folder}}); err != nil {
			return lacking(err)
		}
		h.maps, h.programs = objects.objectMaps, objects.objectPrograms
		return h.leftovers()
	})
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// pinFolder makes the folder of this layout.
func pinFolder(pin string) (string, error) {
	folder := filepath.Join(pin, layout)
	if err := canPin(folder); err != nil {
		return "", err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("make the folder of the pinned maps: %w", err)
	}
	return folder, nil
}

// canPin looks for a BPF file system at the nearest folder that exists.
func canPin(folder string) error {
	for at := folder; ; at = filepath.Dir(at) {
		var fs unix.Statfs_t
		err := unix.Statfs(at, &fs)
		if err == nil && fs.Type == unix.BPF_FS_MAGIC {
			return nil
		}
		if !errors.Is(err, unix.ENOENT) || at == filepath.Dir(at) {
			return fmt.Errorf("there is no BPF file system at %s (mount -t bpf bpf %s)", folder, at)
		}
	}
}

// markPrefix begins the name of an empty folder beside the pins, which says which programs are in force.
const markPrefix = "programs-"

func mark() string {
	return fmt.Sprintf("%s%x", markPrefix, sha256.Sum256(_ObjectBytes))[:len(markPrefix)+16]
}

// inForce says whether the programs of this build are attached and pinned.
func inForce(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, mark()))
	return err == nil
}

// Close lets go of programs and maps. Those that are pinned stay in force, others end.
func (h *Hooks) Close() error {
	errs := []error{h.programs.Close(), h.maps.Close()}
	for _, l := range h.links {
		errs = append(errs, l.Close())
	}
	h.links = nil
	return errors.Join(errs...)
}
