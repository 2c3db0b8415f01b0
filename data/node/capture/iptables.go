package capture

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// IPTables captures with the programs iptables-restore and ip6tables-restore, for kernels whose nftables lack something. The rules are the same; they stand in chains
// whose names begin with HEDDLE_.
type IPTables struct{}

// String is its name.
func (IPTables) String() string { return "iptables" }

// place is where the rules of a hook stand.
type place struct{ table, builtin, chain string }

var places = map[Hook]place{
	Output: {"nat", "OUTPUT", "HEDDLE_OUTPUT"}, Prerouting: {"nat", "PREROUTING", "HEDDLE_PREROUTING"},
	Steer: {"mangle", "PREROUTING", "HEDDLE_STEER"}, Reroute: {"mangle", "OUTPUT", "HEDDLE_REROUTE"},
}

// variants are the names before "-restore" and "-save" of each family, in the order in which they are tried: what the machine takes for iptables, then the one that
// does without nftables.
func variants(v6 bool) []string {
	if v6 {
		return []string{"ip6tables", "ip6tables-legacy"}
	}
	return []string{"iptables", "iptables-legacy"}
}

// Apply replaces the rules: in each table in one transaction, but not in all of them.
func (IPTables) Apply(s Spec) error {
	if s.Datagrams {
		return errors.New("datagrams are captured by a table that the proxy keeps, which only nftables has; give the kernel nftables, or do without capture of UDP")
	}
	rules := Rules(s)
	if err := eachFamily(func(v6 bool) error {
		return eachVariant(v6, func(name string) error {
			have, err := save(name)
			if err != nil {
				return err
			}
			return restore(name, replacement(rules, v6, have))
		})
	}); err != nil {
		return err
	}
	return surround(rules)
}

// Remove takes our chains away, of whichever variant made them.
func (IPTables) Remove() error {
	err := eachFamily(func(v6 bool) error {
		worked := false
		var all error
		for _, name := range variants(v6) {
			have, err := save(name)
			if err == nil {
				if text := removal(have); text != "" {
					err = restore(name, text)
				}
			}
			worked, all = worked || err == nil, errors.Join(all, err)
		}
		if worked {
			return nil
		}
		return all
	})
	return errors.Join(err, unroute())
}

// Present says whether chains of ours are there.
func (IPTables) Present() (bool, error) {
	var all error
	worked := false
	for _, name := range variants(false) {
		have, err := save(name)
		if strings.Contains(have, "\n:HEDDLE_") {
			return true, nil
		}
		worked, all = worked || err == nil, errors.Join(all, err)
	}
	if worked {
		return false, nil
	}
	return false, all
}

func eachFamily(do func(v6 bool) error) error {
	if err := do(false); err != nil {
		return err
	}
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		return nil // a kernel without IPv6
	}
	return do(true)
}

// eachVariant tries until one works.
func eachVariant(v6 bool, do func(name string) error) error {
	var all error
	for _, name := range variants(v6) {
		err := do(name)
		if err == nil {
			return nil
		}
		all = errors.Join(all, err)
	}
	return all
}

// replacement is the text for iptables-restore --noflush that puts rules in the place of earlier ones; have is what iptables-save gives now.
func replacement(rules []Rule, v6 bool, have string) string {
	var b strings.Builder
	for _, table := range []string{"nat", "mangle"} {
		var head, body strings.Builder
		for _, h := range []Hook{Output, Prerouting, Steer, Reroute} {
			p := places[h]
			if p.table != table {
				continue
			}
			lines := ""
			for _, r := range rules {
				if r.Hook == h && in(r.Destination, v6) && in(r.Source, v6) {
					lines += "-A " + p.chain + r.words() + "\n"
				}
			}
			jump := "-A " + p.builtin + " -j " + p.chain
			there := strings.Contains(have, "\n"+jump+"\n")
			if lines == "" && !there {
				continue
			}
			// Naming a chain empties it.
			head.WriteString(":" + p.chain + " - [0:0]\n")
			body.WriteString(lines)
			if !there {
				body.WriteString(jump + "\n")
			}
		}
		if head.Len() > 0 {
			b.WriteString("*" + table + "\n" + head.String() + body.String() + "COMMIT\n")
		}
	}
	return b.String()
}

// in says whether a rule about a range is one for this family.
func in(p netip.Prefix, v6 bool) bool { return !p.IsValid() || p.Addr().Is6() == v6 }

// removal is the text that takes our chains away; "" when there are none.
func removal(have string) string {
	var b strings.Builder
	for _, table := range []string{"nat", "mangle"} {
		var flush, drop strings.Builder
		for _, h := range []Hook{Output, Prerouting, Steer, Reroute} {
			p := places[h]
			if p.table != table || !strings.Contains(have, "\n:"+p.chain+" ") {
				continue
			}
			if strings.Contains(have, "\n-A "+p.builtin+" -j "+p.chain+"\n") {
				flush.WriteString("-D " + p.builtin + " -j " + p.chain + "\n")
			}
			flush.WriteString("-F " + p.chain + "\n")
			drop.WriteString("-X " + p.chain + "\n")
		}
		if drop.Len() > 0 {
			b.WriteString("*" + table + "\n" + flush.String() + drop.String() + "COMMIT\n")
		}
	}
	return b.String()
}

// words is a rule in the language of iptables.
func (r Rule) words() string {
	var b strings.Builder
	add := func(is bool, format string, args ...any) {
		if is {
			fmt.Fprintf(&b, " "+format, args...)
		}
	}
	way := "-o"
	if r.Hook == Prerouting || r.Hook == Steer {
		way = "-i"
	}
	add(r.Interface != "", "%s %s", way, r.Interface)
	add(r.Source.IsValid(), "-s %s", r.Source.Masked())
	add(r.Destination.IsValid(), "-d %s", r.Destination.Masked())
	add(r.Protocol == tcp, "-p tcp")
	add(r.Protocol == udp, "-p udp")
	add(r.Port != 0, "--dport %d", r.Port)
	add(r.Mark != 0, "-m mark --mark %d", r.Mark)
	add(r.Connection != 0, "-m connmark --mark %d", r.Connection)
	add(r.Reply, "-m conntrack --ctdir REPLY")
	add(r.UID != 0, "-m owner --uid-owner %d", r.UID)
	add(r.GID != 0, "-m owner --gid-owner %d", r.GID)
	switch {
	case r.Redirect != 0:
		add(true, "-j REDIRECT --to-ports %d", r.Redirect)
	case r.Hand != 0:
		add(true, "-j TPROXY --on-port %d --tproxy-mark %d", r.Hand, ProxyMark)
	case r.Save:
		add(true, "-j CONNMARK --save-mark")
	case r.Restore:
		add(true, "-j CONNMARK --restore-mark")
	default:
		add(true, "-j RETURN")
	}
	return b.String()
}

// save is what there is, with a newline before each line.
func save(name string) (string, error) {
	var all strings.Builder
	all.WriteString("\n")
	for _, table := range []string{"nat", "mangle"} {
		out, err := run(nil, name+"-save", "-t", table)
		if err != nil {
			return "", err
		}
		all.Write(out)
	}
	return all.String(), nil
}

func restore(name, text string) error {
	_, err := run([]byte(text), name+"-restore", "--noflush", "--wait", "5")
	return err
}

func run(in []byte, name string, args ...string) ([]byte, error) {
	path := name
	if _, err := exec.LookPath(name); err != nil {
		// The path of a process that was started by a container runtime may be short.
		i := slices.IndexFunc([]string{"/usr/sbin/", "/sbin/"}, func(dir string) bool { _, err := os.Stat(dir + name); return err == nil })
		if i < 0 {
			return nil, fmt.Errorf("there is no program %s", name)
		}
		path = []string{"/usr/sbin/", "/sbin/"}[i] + name
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = bytes.NewReader(in)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		text, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n")
		return nil, fmt.Errorf("%s: %s", name, cmp.Or(text, err.Error()))
	}
	return out.Bytes(), nil
}
