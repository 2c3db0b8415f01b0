package resident

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// unmapProgram takes the pages of the program's code and constants out of this process; those that are still needed come back from the page cache, a few at a time, when they
// are touched. Pages that differ from the file (relocations, breakpoints) would be lost: a mapping with such a page is left alone.
func unmapProgram() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer f.Close()
	var start, end uintptr
	var ours, own bool // the mapping is the program's; it has pages of its own
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		var from, to uintptr
		var perms string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &perms); n == 3 {
			start, end = from, to
			ours = strings.HasSuffix(line, " "+program) && (perms == "r-xp" || perms == "r--p")
			own = false
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		switch {
		case !ours:
		case name == "Anonymous" || name == "Swap":
			own = own || strings.TrimSpace(value) != "0 kB"
		case name == "VmFlags" && !own: // the last line of a mapping
			if _, _, errno := unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_DONTNEED); errno != 0 {
				return fmt.Errorf("give back %x-%x of the program: %w", start, end, errno)
			}
		}
	}
	return lines.Err()
}
