package redirect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// pinned is a link, which is not always pinned.
type pinned struct {
	link.Link
	name string
}

// hook is a program and where it is attached.
type hook struct {
	name    string
	attach  ebpf.AttachType
	program *ebpf.Program
}

// hooks are in the order of attaching: what answers questions about redirected calls stands before what redirects them.
func (o *objectPrograms) hooks() []hook {
	return []hook{
		{"getsockopt", ebpf.AttachCGroupGetsockopt, o.RedirectGetsockopt},
		{"getpeername4", ebpf.AttachCgroupInet4GetPeername, o.RedirectGetpeername4},
		{"getpeername6", ebpf.AttachCgroupInet6GetPeername, o.RedirectGetpeername6},
		{"recvmsg4", ebpf.AttachCGroupUDP4Recvmsg, o.RedirectRecvmsg4},
		{"recvmsg6", ebpf.AttachCGroupUDP6Recvmsg, o.RedirectRecvmsg6},
		{"sockops", ebpf.AttachCGroupSockOps, o.RedirectSockops},
		{"sock_create", ebpf.AttachCGroupInetSockCreate, o.RedirectSockCreate},
		{"sendmsg4", ebpf.AttachCGroupUDP4Sendmsg, o.RedirectSendmsg4},
		{"sendmsg6", ebpf.AttachCGroupUDP6Sendmsg, o.RedirectSendmsg6},
		{"connect4", ebpf.AttachCGroupInet4Connect, o.RedirectConnect4},
		{"connect6", ebpf.AttachCGroupInet6Connect, o.RedirectConnect6},
	}
}

// Attach puts the programs in force: new links, or in place of the programs behind the pinned ones, each replaced in one step. Then it removes what programs of another
// layout have left. Pods that were enrolled before are captured from the first moment.
func (h *Hooks) Attach() error { return h.locked(h.attachAll) }

func (h *Hooks) attachAll() error {
	for _, k := range h.programs.hooks() {
		l, err := h.attach(k)
		if err != nil {
			return fmt.Errorf("attach %s to %s: %w", k.name, h.options.Cgroup, err)
		}
		h.links = append(h.links, pinned{l, k.name})
	}
	if h.options.Pin == "" {
		return nil
	}
	if err := h.mark(); err != nil {
		return fmt.Errorf("note which programs are in force: %w", err)
	}
	return h.removeOtherLayouts()
}

// mark notes that these programs, and no others, are in force.
func (h *Hooks) mark() error {
	old, err := filepath.Glob(filepath.Join(h.folder, markPrefix+"*"))
	for _, o := range old {
		if filepath.Base(o) != mark() {
			err = errors.Join(err, os.Remove(o))
		}
	}
	if !inForce(h.folder) {
		err = errors.Join(err, os.Mkdir(filepath.Join(h.folder, mark()), 0o700))
	}
	return err
}

func (h *Hooks) removeOtherLayouts() error {
	others, err := os.ReadDir(h.options.Pin)
	if err != nil {
		return fmt.Errorf("look for older programs: %w", err)
	}
	for _, o := range others {
		if o.Name() != layout {
			if err := removeFolder(filepath.Join(h.options.Pin, o.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *Hooks) attach(k hook) (link.Link, error) {
	path := ""
	if h.options.Pin != "" {
		path = filepath.Join(h.folder, linkPrefix+k.name)
		l, err := h.takeOver(path, k.program)
		if l != nil || err != nil {
			return l, err
		}
	}
	l, err := link.AttachCgroup(link.CgroupOptions{Path: h.options.Cgroup, Attach: k.attach, Program: k.program})
	if err != nil || path == "" {
		return l, err
	}
	if err := l.Pin(path); err != nil {
		return nil, errors.Join(fmt.Errorf("pin: %w", err), l.Close())
	}
	return l, nil
}

// linkPrefix tells links from maps in a folder of pins.
const linkPrefix = "link-"

// takeOver puts a program behind the pinned link, or gives nil when there is none for this cgroup. A link to a cgroup that was removed, or to another one, is taken away.
func (h *Hooks) takeOver(path string, p *ebpf.Program) (link.Link, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	same, err := h.same(l)
	if err == nil && same {
		if err = l.Update(p); err == nil {
			return l, nil
		}
	}
	if err != nil && !errors.Is(err, unix.ENOLINK) {
		return nil, errors.Join(fmt.Errorf("take over %s: %w", path, err), l.Close())
	}
	return nil, errors.Join(os.Remove(path), l.Close())
}

// same says whether a link is to this cgroup, whose number is that of its folder.
func (h *Hooks) same(l link.Link) (bool, error) {
	info, err := l.Info()
	if err != nil {
		return false, err
	}
	var st unix.Stat_t
	if err := unix.Stat(h.options.Cgroup, &st); err != nil {
		return false, err
	}
	return info.Cgroup() != nil && info.Cgroup().CgroupId == st.Ino, nil
}

// Remove ends what is pinned below a folder and removes it. Connections that are open go on. It is no error when there is nothing.
func Remove(pin string) error {
	layouts, err := os.ReadDir(pin)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for pinned programs: %w", err)
	}
	for _, l := range layouts {
		err = errors.Join(err, removeFolder(filepath.Join(pin, l.Name())))
	}
	return errors.Join(err, os.Remove(pin))
}

// removeFolder detaches the links of one layout, so that they end whoever else holds them, those that redirect first, then removes links and maps.
func removeFolder(folder string) error {
	pins, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("look for pinned programs: %w", err)
	}
	var errs []error
	for _, first := range []bool{true, false} {
		for _, p := range pins {
			if redirects(p) == first {
				errs = append(errs, removePin(filepath.Join(folder, p.Name())))
			}
		}
	}
	return errors.Join(append(errs, os.Remove(folder))...)
}

func redirects(p fs.DirEntry) bool {
	for _, verb := range []string{"connect", "sendmsg"} {
		if ok, _ := filepath.Match(linkPrefix+verb+"?", p.Name()); ok {
			return true
		}
	}
	return false
}

func removePin(path string) error {
	if ok, _ := filepath.Match(linkPrefix+"*", filepath.Base(path)); ok {
		l, err := link.LoadPinnedLink(path, nil)
		if err == nil {
			err = errors.Join(l.Detach(), l.Close())
		}
		if err != nil && !errors.Is(err, unix.EPERM) { // without the right to detach, a link ends with its last name
			return fmt.Errorf("detach %s: %w", path, err)
		}
	}
	return os.Remove(path)
}
