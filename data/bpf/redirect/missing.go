package redirect

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Missing says in one sentence what stands in the way of capture by these programs here, or "" if nothing does. It loads them, attaches them to a cgroup that ends
// at once, and leaves nothing.
func Missing(o Options) string {
	pin := o.Pin
	o.Pin = ""
	h, err := Load(o)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = h.Close() }()
	if pin != "" {
		if err := canPin(pin); err != nil {
			return err.Error()
		}
	}
	if err := h.Attach(); err != nil {
		return err.Error()
	}
	if _, err := cookie(); err != nil {
		return err.Error()
	}
	return ""
}

// lacking turns what the kernel answers into one sentence.
func lacking(err error) error {
	var verifier *ebpf.VerifierError
	switch {
	case errors.Is(err, unix.EPERM) && !errors.As(err, &verifier):
		return fmt.Errorf("this process may not load kernel programs: that takes root outside of user namespaces (%w)", err)
	case errors.Is(err, ebpf.ErrMapIncompatible):
		return fmt.Errorf("maps that are pinned have another form: %w", err)
	case errors.As(err, &verifier), errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("Linux %s cannot run them (5.18 or newer can): %w", release(), err)
	}
	return fmt.Errorf("load the capture programs: %w", err)
}

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "of this machine"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// CgroupRoot finds the first cgroup2 file system that is mounted: beside older ones it is not where it usually is.
func CgroupRoot() (string, error) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return "", fmt.Errorf("look for cgroups: %w", err)
	}
	defer f.Close()
	if root := cgroup2(bufio.NewScanner(f)); root != "" {
		return root, nil
	}
	return "", errors.New("no cgroup2 file system is mounted")
}

func cgroup2(mounts *bufio.Scanner) string {
	for mounts.Scan() {
		// device, folder, type; blanks in a folder are octal
		if f := strings.Fields(mounts.Text()); len(f) > 2 && f[2] == "cgroup2" {
			return strings.ReplaceAll(f[1], `\040`, " ")
		}
	}
	return ""
}
